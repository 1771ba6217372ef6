//! Each outcome of `session/fill`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_filled_and_merges_with_what_is_there() {
    let store = Store::new().await;
    let _created = store.create(&row("new", 1).with_record("kept")).await;
    store.fill(&[row("a", 3), row("new", 1), store::expired("over")]).await;
    let List::Sessions(sessions) = store.list().await else { panic!("it is complete") };
    let names: Vec<_> = sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(names, ["a", "new"]);
    assert_eq!(sessions[1].record.as_bytes(), b"kept");
    assert!(matches!(store.check("a").await, Check::Active(_)));
    store.fill(&[]).await;
    assert_eq!(store.listed().await, ["a", "new"], "it never removes");
}

#[tokio::test]
async fn gives_filled_and_the_ids_that_stay_revoked() {
    let store = Store::new().await.max(1);
    store.fill(&[row("a", 2)]).await;
    let _displaced = store.create(&row("b", 1)).await;
    let version = store.version("other").await;
    let rows = [row("a", 2), row("b", 1)];
    let filled = store.sessions.fill(&user(), &rows, &version).await.unwrap();
    assert_eq!(filled, Fill::Filled { revoked: ids(&["a"]) });
    assert_eq!(store.check("a").await, Check::Revoked);
    assert_eq!(store.listed().await, ["b"]);
}

#[tokio::test]
async fn gives_stale_where_something_was_revoked_or_all_is_forgotten() {
    let store = Store::new().await;
    let version = store.version("a").await;
    store.revoke(&["b"]).await;
    let outcome = store.sessions.fill(&user(), &[row("a", 1)], &version).await.unwrap();
    assert_eq!(outcome, Fill::Stale);
    let version = store.version("a").await;
    store.forget();
    let outcome = store.sessions.fill(&user(), &[row("a", 1)], &version).await.unwrap();
    assert_eq!(outcome, Fill::Stale);
    assert!(!store.exists());
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    let version = store.version("a").await;
    store.forget();
    store.raw("SET", &["x"]);
    let outcome = store.sessions.fill(&user(), &[row("a", 1)], &version).await;
    assert_server(outcome, ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}

#[tokio::test]
async fn fails_oom_on_a_full_server() {
    let server = own();
    let store = Store::on(redis_on(&server).await);
    let version = store.version("a").await;
    support::set(&server, "maxmemory", "1024");
    let outcome = store.sessions.fill(&user(), &[row("a", 1)], &version).await;
    assert_server(outcome, ServerErrorKind::OutOfMemory);
    assert!(matches!(store.list().await, List::NeedsFill(_)));
}
