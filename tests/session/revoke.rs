//! Each outcome of `session/revoke`, and what goes with it.

use super::*;

#[tokio::test]
async fn gives_ended_those_that_were_known_and_deletes_the_keys_named() {
    let store = Store::new().await;
    store.login(&row("a", 1)).await;
    store.login(&row("b", 1)).await;
    let (string, list) = store.cached();
    let named = [id("a"), id("unknown"), id("a")];
    let also = [&*string, &*list, "user:{42}:absent"];
    let also = if store.redis.is_cluster() { &also[..] } else { &also[..2] };
    let revoked = store.sessions.revoke(&user(), &named, also).await.unwrap();
    assert_eq!((revoked.ended, revoked.undeleted.len()), (ids(&["a"]), 0));
    for key in [&string, &list] {
        assert_eq!(raw(&store.redis, "EXISTS", key, &[]).int(), Some(0));
    }
    assert!(matches!(store.check("b").await, Check::Active(_)));
}

#[tokio::test]
async fn the_state_of_a_user_is_no_key_to_delete_with_it() {
    let store = Store::new().await;
    store.login(&row("a", 1)).await;
    for key in ["user:42:state", "user:{42}:state", "user:{7}:state", "", "a\nb"] {
        let outcome = store.sessions.revoke(&user(), &[id("a")], &[key]).await;
        let refused = not_revoked(outcome);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{refused:?}");
    }
    assert!(matches!(store.check("a").await, Check::Active(_)));
}

#[tokio::test]
async fn fails_wrongtype_and_deletes_nothing() {
    let store = Store::new().await;
    let (string, list) = store.cached();
    store.raw("SET", &["x"]);
    let outcome = store.sessions.revoke(&user(), &[id("a")], &[&string, &list]).await;
    assert_server(not_revoked_for(HOUR * 24 * 30, outcome), ServerErrorKind::WrongType);
    for key in [&string, &list] {
        assert_eq!(raw(&store.redis, "EXISTS", key, &[]).int(), Some(1));
    }
}
