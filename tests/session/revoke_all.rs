//! Each outcome of `session/revoke_all`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_ended_all_that_were_known_and_deletes_the_keys_named() {
    let store = Store::new().await;
    store.fill(&[row("a", 1), row("b", 2)]).await;
    let (string, list) = store.cached();
    let revoked = store.sessions.revoke_all(&user(), &[&string, &list]).await.unwrap();
    assert_eq!(revoked.ended, ids(&["a", "b"]));
    for name in ["a", "b"] {
        assert_eq!(store.check(name).await, Check::Revoked);
    }
    assert!(store.listed().await.is_empty());
    assert_eq!(raw(&store.redis, "EXISTS", &string, &[]).int(), Some(0));
    let again = store.sessions.revoke_all(&user(), &[]).await.unwrap();
    assert!(again.ended.is_empty());
}

#[tokio::test]
async fn what_was_read_before_it_is_stale_where_nothing_was_known() {
    let store = Store::new().await;
    let version = store.version("a").await;
    assert!(store.sessions.revoke_all(&user(), &[]).await.unwrap().ended.is_empty());
    let outcome = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
    assert_eq!(outcome, Confirm::Stale);
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    let outcome = store.sessions.revoke_all(&user(), &[]).await;
    assert_server(not_revoked(outcome), ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}
