//! Each outcome of `session/list`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_sessions_the_oldest_first_and_also_none() {
    let store = Store::new().await;
    store.fill(&[]).await;
    assert!(store.listed().await.is_empty());
    store.fill(&[row("b", 2), row("c", 1), row("a", 3)]).await;
    assert_eq!(store.listed().await, ["a", "b", "c"]);
    store.revoke(&["b"]).await;
    let _created = store.create(&row("d", 0)).await;
    assert_eq!(store.listed().await, ["a", "c", "d"]);
    let List::Sessions(sessions) = store.list().await else { panic!("it is complete") };
    let confirmed = |session: &Session| session.confirmed_until.is_some();
    assert_eq!(sessions.iter().map(confirmed).collect::<Vec<_>>(), [true, true, false]);
}

#[tokio::test]
async fn gives_unfilled_where_some_may_be_missing() {
    let store = Store::new().await;
    assert!(matches!(store.list().await, List::NeedsFill(_)));
    store.login(&row("a", 1)).await;
    assert!(matches!(store.list().await, List::NeedsFill(_)), "a create completes nothing");
}

#[tokio::test]
async fn an_absent_hash_is_an_empty_list_where_there_is_no_database() {
    let store = Store::new().await.alone();
    assert!(store.listed().await.is_empty());
    assert!(!store.exists());
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    assert_server(store.sessions.list(&user()).await, ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}

#[tokio::test]
async fn fails_oom_on_a_full_server_that_knows_nothing() {
    let (_server, store) = full().await;
    assert_server(store.sessions.list(&user()).await, ServerErrorKind::OutOfMemory);
}
