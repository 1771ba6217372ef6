//! Each outcome of `session/create`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_created_and_displaces_the_oldest_by_creation() {
    let store = Store::new().await.max(2);
    store.fill(&[row("young", 1), row("old", 9)]).await;
    let created = store.create(&row("middle", 5)).await;
    assert_eq!(created, Create::Created { displaced: ids(&["old"]) });
    assert_eq!(store.listed().await, ["middle", "young"]);
    assert_eq!(store.check("old").await, Check::Revoked);
}

#[tokio::test]
async fn the_new_one_is_never_displaced_even_where_it_is_the_oldest() {
    let store = Store::new().await.max(2);
    store.fill(&[row("a", 1), row("b", 2)]).await;
    let created = store.create(&row("new", 100)).await;
    assert_eq!(created, Create::Created { displaced: ids(&["b"]) });
    assert_eq!(store.listed().await, ["new", "a"]);
}

#[tokio::test]
async fn a_repeat_tells_of_the_same_ones_and_displaces_no_more() {
    let store = Store::new().await.max(1);
    store.fill(&[row("a", 3), row("b", 2)]).await;
    for _ in 0..3 {
        let created = store.create(&row("new", 1)).await;
        assert_eq!(created, Create::Created { displaced: ids(&["a", "b"]) });
        // Their commit has come: they are revoked once more.
        store.revoke(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn one_that_is_there_still_keeps_the_maximum() {
    let store = Store::new().await.max(2);
    store.fill(&[row("a", 3), row("b", 2), row("new", 1)]).await;
    let created = store.create(&row("new", 1)).await;
    assert_eq!(created, Create::Created { displaced: ids(&["a"]) });
}

#[tokio::test]
async fn gives_unfilled_and_a_version_and_adds_nothing() {
    let store = Store::new().await.max(2);
    let Create::NeedsFill(version) = store.create(&row("a", 1)).await else { panic!() };
    assert_eq!(store.raw("HKEYS", &[]).array().unwrap().len(), 1, "the version alone");
    assert!((55_000..=60_000).contains(&store.pttl()), "{}", store.pttl());
    let Create::NeedsFill(again) = store.create(&row("a", 1)).await else { panic!() };
    assert_eq!(format!("{again:?}")[..60], format!("{version:?}")[..60], "no new one");
    let filled = store.sessions.fill(&user(), &[row("b", 2)], &version).await.unwrap();
    assert_eq!(filled, Fill::Filled { revoked: vec![] });
    let created = store.create(&row("a", 1)).await;
    assert_eq!(created, Create::Created { displaced: vec![] });
}

#[tokio::test]
async fn gives_revoked_and_whom_an_earlier_execution_displaced() {
    let store = Store::new().await.max(1);
    store.fill(&[row("a", 2)]).await;
    let _created = store.create(&row("new", 1)).await;
    store.revoke(&["new"]).await;
    let outcome = store.create(&row("new", 1)).await;
    assert_eq!(outcome, Create::Revoked { displaced: ids(&["a"]) });
    store.revoke(&["never seen"]).await;
    let outcome = store.create(&row("never seen", 1)).await;
    assert_eq!(outcome, Create::Revoked { displaced: vec![] });
}

#[tokio::test]
async fn gives_expired_by_the_servers_clock() {
    let store = Store::new().await;
    let outcome = store.create(&store::expired("a")).await;
    assert_eq!(outcome, Create::Expired { displaced: vec![] });
    assert!(!store.exists());
}

#[tokio::test]
async fn it_reads_active_at_once_where_there_is_no_database() {
    let store = Store::new().await.alone().max(1);
    for (name, displaced) in [("a", &[][..]), ("b", &["a"])] {
        let created = store.create(&row(name, 1)).await;
        assert_eq!(created, Create::Created { displaced: ids(displaced) });
        let Check::Active(session) = store.check(name).await else { panic!("it is active") };
        assert_eq!(session.confirmed_until, None);
    }
    assert_eq!(store.check("a").await, Check::Revoked);
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    let outcome = store.sessions.create(&user(), &row("a", 1)).await;
    assert_server(outcome, ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}

#[tokio::test]
async fn fails_oom_on_a_full_server() {
    let (_server, store) = full().await;
    let outcome = store.sessions.create(&user(), &row("a", 1)).await;
    assert_server(outcome, ServerErrorKind::OutOfMemory);
}
