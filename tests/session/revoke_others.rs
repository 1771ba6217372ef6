//! Each outcome of `session/revoke_others`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_ended_all_but_the_one_that_stays() {
    let store = Store::new().await;
    store.fill(&[row("a", 1), row("b", 2), row("c", 3)]).await;
    let (string, list) = store.cached();
    let also: &[&str] = &[&string, &list];
    let revoked = store.sessions.revoke_others(&user(), &id("b"), also).await.unwrap();
    assert_eq!(revoked.ended, ids(&["a", "c"]));
    assert!(matches!(store.check("b").await, Check::Active(_)));
    assert_eq!(store.listed().await, ["b"]);
    assert_eq!(raw(&store.redis, "EXISTS", &list, &[]).int(), Some(0));
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    let outcome = store.sessions.revoke_others(&user(), &id("a"), &[]).await;
    assert_server(not_revoked(outcome), ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}
