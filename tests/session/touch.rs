//! Each outcome of `session/touch`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_2_and_notes_when_it_was_seen() {
    let mut store = Store::new().await;
    store.login(&row("a", 1)).await;
    store.sessions = store.sessions.with_touch_every(Duration::from_millis(1)).unwrap();
    let Check::Active(before) = store.check("a").await else { panic!("it is active") };
    while store.touch("a").await != Touch::Noted {}
    let Check::Active(after) = store.check("a").await else { panic!("it is active") };
    assert!(after.last_seen > before.last_seen);
    assert_eq!(after.confirmed_until, before.confirmed_until);
    assert_eq!(after.expires, before.expires);
}

#[tokio::test]
async fn gives_1_within_the_window_and_writes_nothing() {
    let server = own();
    let store = Store::on(redis_on(&server).await);
    store.login(&row("a", 1)).await;
    let dirty = || server.info_field("persistence", "rdb_changes_since_last_save").unwrap();
    let before = dirty();
    for _ in 0..10 {
        assert_eq!(store.touch("a").await, Touch::Recent);
    }
    assert_eq!(dirty(), before);
}

#[tokio::test]
async fn gives_0_for_one_that_is_revoked_expired_unconfirmed_or_not_there() {
    let mut store = Store::new().await;
    store.login(&row("revoked", 1)).await;
    store.login(&row_of("expired", 1, Duration::from_millis(100))).await;
    let _created = store.create(&row("unconfirmed", 1)).await;
    store.revoke(&["revoked"]).await;
    let _version = store::until_unknown(&store, "expired").await;
    store.sessions = store.sessions.with_touch_every(Duration::from_millis(1)).unwrap();
    let before = store.fields();
    for name in ["revoked", "expired", "unconfirmed", "absent"] {
        assert_eq!(store.touch(name).await, Touch::NotActive, "{name}");
    }
    assert_eq!(store.fields(), before);
}

#[tokio::test]
async fn fails_wrongtype_and_leaves_the_key_alone() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    let outcome = store.sessions.touch(&user(), &id("a")).await;
    assert_server(outcome, ServerErrorKind::WrongType);
    assert_eq!(store.raw("GET", &[]).text(), Some("x"));
}
