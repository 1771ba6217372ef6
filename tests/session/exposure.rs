//! A revoke that came to nothing says how long what it was to end can still be read.

use auth_adapter_redis::Cache;
use auth_adapter_redis::key::{Keys, TokenHash};

use super::*;

/// The sessions alone are stale for 300 s.
#[tokio::test]
async fn what_was_to_be_deleted_with_them_lives_no_longer_than_it_says() {
    let store = Store::new().await;
    store.raw("SET", &["x"]);
    let keys = store.redis.keys();
    let cache = Cache::new(store.redis.clone());
    let cached = [
        (keys.heartbeat(&user(), &id("a")), Keys::HEARTBEAT_TTL, 300),
        (keys.session_active(&user(), &id("a")), Keys::SESSION_ACTIVE_TTL, 300),
        (keys.user(&user()), Keys::USER_TTL, 3600),
        (keys.refresh_token(&TokenHash::new("ff").unwrap()), Keys::REFRESH_TOKEN_TTL, 2_592_000),
        ("{42}:anything".to_owned(), HOUR, 2_592_000),
    ];
    let mut also = Vec::new();
    for (key, ttl, seconds) in &cached {
        cache.set(key, "v", *ttl).await.unwrap();
        // The longest of all counts, wherever it stands.
        also.insert(0, &**key);
        for ends in [
            store.sessions.revoke(&user(), &[id("a")], &also).await,
            store.sessions.revoke_all(&user(), &also).await,
            store.sessions.revoke_others(&user(), &id("b"), &also).await,
        ] {
            let failed = ends.unwrap_err();
            assert_eq!(failed.stale_for, Duration::from_secs(*seconds), "{also:?}: {failed}");
            for key in &also {
                let left = raw(&store.redis, "PTTL", key, &[]).int().unwrap();
                assert!(left > 0 && left as u128 <= failed.stale_for.as_millis(), "{key}: {left}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_may_read_active_for_longer_than_the_keys_live() {
    let server = own();
    let sessions = Sessions::new(redis_on(&server).await);
    let day = sessions.clone().with_list_for(HOUR * 24).unwrap();
    let alone = day.clone().with_authority(Authority::Redis).with_longest_session(HOUR).unwrap();
    server.kill().unwrap();
    for (sessions, hours) in [(day, 24), (alone, 1)] {
        let failed = sessions.revoke_all(&user(), &["user:{42}"]).await.unwrap_err();
        assert!(failed.error.is_node_fault(), "{failed}");
        assert_eq!(failed.stale_for, HOUR * hours, "{failed}");
    }
}
