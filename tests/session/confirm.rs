//! Each outcome of `session/confirm`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_confirmed_and_moves_nothing_else_of_a_session_that_is_there() {
    let store = Store::new().await;
    let first = row("a", 1).with_record("laptop");
    let _created = store.create(&first).await;
    let version = store.version("a").await;
    let mut other = row("a", 2).with_record("phone");
    other.expires = row_of("a", 2, Duration::from_secs(60)).expires;
    let confirmed = store.sessions.confirm(&user(), &other, &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
    let Check::Active(session) = store.check("a").await else { panic!("it is active") };
    assert_eq!((session.created, session.expires), (first.created, first.expires));
    assert_eq!(session.record, first.record);
}

#[tokio::test]
async fn gives_stale_where_another_session_was_revoked_or_all_is_forgotten() {
    let store = Store::new().await;
    let version = store.version("a").await;
    store.revoke(&["b"]).await;
    let row = row("a", 1);
    let outcome = store.sessions.confirm(&user(), &row, &version).await.unwrap();
    assert_eq!(outcome, Confirm::Stale);
    let version = store.version("a").await;
    store.forget();
    let outcome = store.sessions.confirm(&user(), &row, &version).await.unwrap();
    assert_eq!(outcome, Confirm::Stale);
    assert!(!store.exists(), "it brings nothing back");
}

#[tokio::test]
async fn gives_revoked_whatever_the_version() {
    let store = Store::new().await;
    let before = store.version("a").await;
    store.revoke(&["a"]).await;
    let after = store.version("b").await;
    for version in [before, after] {
        let outcome = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
        assert_eq!(outcome, Confirm::Revoked);
    }
}

#[tokio::test]
async fn gives_expired_by_the_servers_clock() {
    let store = Store::new().await;
    let version = store.version("a").await;
    let outcome = store.sessions.confirm(&user(), &store::expired("a"), &version).await;
    assert_eq!(outcome.unwrap(), Confirm::Expired);
    assert!(matches!(store.check("a").await, Check::Unknown(_)));
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    let version = store.version("a").await;
    store.forget();
    store.raw("SET", &["x"]);
    let outcome = store.sessions.confirm(&user(), &row("a", 1), &version).await;
    assert_server(outcome, ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}

#[tokio::test]
async fn fails_oom_on_a_full_server() {
    let server = own();
    let store = Store::on(redis_on(&server).await);
    let version = store.version("a").await;
    support::set(&server, "maxmemory", "1024");
    let outcome = store.sessions.confirm(&user(), &row("a", 1), &version).await;
    assert_server(outcome, ServerErrorKind::OutOfMemory);
    assert!(matches!(store.check("a").await, Check::Unknown(_)));
}

#[tokio::test]
async fn a_session_that_expired_here_and_not_in_the_database_is_brought_back() {
    let store = Store::new().await;
    let short = row_of("a", 1, Duration::from_millis(150));
    store.login(&short).await;
    store.login(&row("b", 1)).await;
    let version = store::until_unknown(&store, "a").await;
    let outcome = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
    assert_eq!(outcome, Confirm::Confirmed);
    assert!(matches!(store.check("a").await, Check::Active(_)));
}
