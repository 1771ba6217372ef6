//! Each outcome of `session/check`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_active_and_what_is_kept_of_it() {
    let store = Store::new().await;
    let row = row("a", 1).with_record("laptop");
    store.login(&row).await;
    let Check::Active(session) = store.check("a").await else { panic!("it is active") };
    assert_eq!((session.created, session.expires), (row.created, row.expires));
    assert_eq!(session.record.as_bytes(), b"laptop");
    let seen = Timestamp::now().as_millis() - session.last_seen.as_millis();
    assert!(seen < 5_000, "{seen}");
    let until = session.confirmed_until.unwrap().as_millis() - Timestamp::now().as_millis();
    assert!((290_000..=300_000).contains(&until), "{until}");
    assert!(!format!("{session:?}").contains("laptop"));
}

#[tokio::test]
async fn gives_revoked_whether_it_was_known_or_not() {
    let store = Store::new().await;
    store.login(&row("a", 1)).await;
    for session in ["a", "never seen"] {
        store.revoke(&[session]).await;
        assert_eq!(store.check(session).await, Check::Revoked);
    }
}

#[tokio::test]
async fn gives_absent_where_there_is_no_database() {
    let store = Store::new().await.alone();
    assert_eq!(store.check("a").await, Check::Absent);
    assert!(!store.exists(), "nothing is kept of it");
}

#[tokio::test]
async fn gives_unknown_and_a_version_that_lives_for_a_minute() {
    let store = Store::new().await;
    let Check::Unknown(version) = store.check("a").await else { panic!("it is unknown") };
    assert!((55_000..=60_000).contains(&store.pttl()), "{}", store.pttl());
    assert!(format!("{version:?}").starts_with("Version("), "{version:?}");
    let confirmed = store.sessions.confirm(&user(), &row("a", 1), &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
    // One that is known and was never confirmed.
    let created = store.create(&row("b", 2)).await;
    assert_eq!(created, Create::Created { displaced: vec![] });
    assert!(matches!(store.check("b").await, Check::Unknown(_)));
}

#[tokio::test]
async fn it_writes_nothing_where_it_knows() {
    let server = own();
    let store = Store::on(redis_on(&server).await);
    store.login(&row("a", 1)).await;
    store.revoke(&["b"]).await;
    let dirty = || server.info_field("persistence", "rdb_changes_since_last_save").unwrap();
    let before = dirty();
    for session in ["a", "b", "c"] {
        let _ = store.check(session).await;
    }
    assert_eq!(dirty(), before);
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    let outcome = store.sessions.check(&user(), &id("a")).await;
    assert_server(outcome, ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}

#[tokio::test]
async fn fails_oom_on_a_full_server_that_knows_nothing() {
    let (_server, store) = full().await;
    let outcome = store.check("a").await;
    assert!(matches!(&outcome, Check::Degraded { why } if why.contains("OOM")), "{outcome:?}");
}

/// What is away is unknown, and the database decides; with nothing behind it is an error.
#[tokio::test]
async fn away_it_is_unknown_and_an_error_where_nothing_is_behind() {
    let server = own();
    let store = Store::on(redis_on(&server).await);
    store.login(&row("a", 1)).await;
    server.kill().unwrap();
    let outcome = store.check("a").await;
    assert!(matches!(outcome, Check::Degraded { .. }), "{outcome:?}");
    let alone = store.sessions.clone().with_authority(Authority::Redis);
    let outcome = alone.check(&user(), &id("a")).await;
    assert!(outcome.as_ref().is_err_and(Error::is_node_fault), "{outcome:?}");
}
