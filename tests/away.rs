//! While Redis is away each kind of operation has its own answer: a test for each row of the README's table.

mod support;

use std::time::Duration;

use auth_adapter_redis::adapter::LockFallback;
use auth_adapter_redis::cache::{Fill, Read};
use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::limiter::Decision;
use auth_adapter_redis::lock::Leases;
use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::session::{Authority, Check, Row};
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{
    Cache, CacheAdapter, Error, ExposedError, FallbackRateLimiter, FencedStrings, Locks,
    RateLimiter, Redis, RedisCacheAdapter, RefreshToken, RefreshTokens, Sessions,
};
use support::target::{Own, own};
use support::{LONG, ROOT, comes_alive, quick, until};

const DEADLINE: Duration = Duration::from_millis(200);
const QUOTA: Quota = Quota::per_minute(4);

/// The rows, each by the test that shows it.
const ROWS: [(&str, &str); 9] = [
    ("cache read", "cache_read_is_a_miss_told_apart_from_a_true_one"),
    ("cache fill", "cache_fill_is_not_kept"),
    ("delete, by the adapter", "delete_is_done_before_a_read"),
    ("check of a session", "check_is_unknown"),
    ("revoke, rotate, reset", "revoke_rotate_and_reset_say_how_long_the_old_can_last"),
    ("rate limit", "rate_limit_is_this_process_s_share"),
    ("`Locks`", "locks_are_unavailable_and_never_held"),
    ("`acquire_lock`, by the adapter", "acquire_lock_is_in_this_process_or_refused"),
    ("all others", "all_others_are_errors"),
];

#[test]
fn each_row_of_the_readme_has_its_test() {
    let readme = std::fs::read_to_string(ROOT.join("README.md")).unwrap();
    let table = readme.split_once("| while Redis is away |").unwrap().1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> = rows.map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    assert_eq!(rows, ROWS.map(|(row, _)| row));
    let tests = include_str!("away.rs");
    for (row, name) in ROWS {
        assert!(tests.contains(&format!("async fn {name}()")), "{row}");
    }
}

/// A handle that has seen its server, and the server that is gone now.
async fn gone() -> (Redis, Own) {
    let server = own();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    Server::kill(&server).unwrap();
    (redis, server)
}

fn people() -> (UserId, SessionId, Row) {
    let (user, session) = (UserId::new("42").unwrap(), SessionId::new("abc").unwrap());
    let expires = Timestamp::try_from(std::time::SystemTime::now() + LONG).unwrap();
    let row = Row::new(session.clone(), Timestamp::now(), expires);
    (user, session, row)
}

#[tokio::test]
async fn cache_read_is_a_miss_told_apart_from_a_true_one() {
    let server = own();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    let (cache, adapter) = (Cache::new(redis.clone()), RedisCacheAdapter::new(redis));
    cache.set("k", "v", LONG).await.unwrap();
    assert!(matches!(cache.read("k").await, Ok(Read::Hit(value)) if value == "v"));
    assert!(matches!(cache.read("absent").await, Ok(Read::Miss)));
    Server::kill(&server).unwrap();
    for key in ["k", "absent"] {
        assert!(matches!(cache.read(key).await, Ok(Read::Degraded(_))));
        assert!(matches!(adapter.read(key).await, Ok(Read::Degraded(_))));
        assert_eq!(adapter.get(key).await, None);
    }
    assert_eq!(adapter.health().swallowed.get, 4);
    assert!(matches!(cache.read("").await, Err(Error::InvalidInput { .. })), "it is no miss");
}

#[tokio::test]
async fn cache_fill_is_not_kept() {
    let (redis, server) = gone().await;
    let (cache, adapter) = (Cache::new(redis.clone()), RedisCacheAdapter::new(redis.clone()));
    assert!(matches!(cache.fill("k", "v", LONG).await, Ok(Fill::Degraded(_))));
    adapter.set("k", "v", LONG).await;
    assert_eq!(adapter.health().swallowed.set, 1);
    assert!(matches!(cache.fill("", "v", LONG).await, Err(Error::InvalidInput { .. })));
    server.restart(auth_adapter_redis::testing::Data::Kept);
    comes_alive(&redis).await;
    assert_eq!(cache.get("k").await.unwrap(), None);
    assert!(matches!(cache.fill("k", "v", LONG).await, Ok(Fill::Filled)));
}

#[tokio::test]
async fn delete_is_done_before_a_read() {
    let (redis, server) = gone().await;
    let adapter = RedisCacheAdapter::new(redis);
    adapter.delete("k").await;
    adapter.delete_many(&["k", "{k}l"]).await;
    assert_eq!(adapter.health().deletes_pending, 2);
    server.restart(auth_adapter_redis::testing::Data::Kept);
    until(|| adapter.health().deletes_pending == 0).await;
    assert!(matches!(adapter.read("k").await, Ok(Read::Miss)));
}

#[tokio::test]
async fn check_is_unknown() {
    let (redis, _server) = gone().await;
    let (user, session, _) = people();
    let sessions = Sessions::new(redis);
    let told = sessions.check(&user, &session).await.unwrap();
    assert!(matches!(told, Check::Degraded { .. }), "{told:?}");
    let alone = sessions.with_authority(Authority::Redis);
    assert!(alone.check(&user, &session).await.is_err(), "nobody else knows");
}

#[tokio::test]
async fn revoke_rotate_and_reset_say_how_long_the_old_can_last() {
    let (redis, _server) = gone().await;
    let (user, session, _) = people();
    let (sessions, tokens) = (Sessions::new(redis.clone()), RefreshTokens::new(redis.clone()));
    let first = RefreshToken::new(&user, &session).unwrap();
    let next = first.next().unwrap();
    let says = |told: ExposedError, seconds: u64| {
        assert!(told.error.is_node_fault(), "{told}");
        assert_eq!(told.stale_for, Duration::from_secs(seconds), "{told}");
        assert!(told.to_string().contains(&format!("for up to {:?}", told.stale_for)), "{told}");
    };
    let ours = std::slice::from_ref(&session);
    says(sessions.revoke(&user, ours, &[]).await.unwrap_err(), 300);
    says(sessions.revoke_all(&user, &[]).await.unwrap_err(), 300);
    says(sessions.revoke_others(&user, &session, &[]).await.unwrap_err(), 300);
    says(tokens.rotate(&first, &next, b"").await.unwrap_err(), 30 * 86_400);
    says(tokens.revoke(&first).await.unwrap_err(), 30 * 86_400);
    says(RateLimiter::new(redis).reset("k", &QUOTA).await.unwrap_err(), 60);
}

#[tokio::test]
async fn rate_limit_is_this_process_s_share() {
    let (redis, _server) = gone().await;
    let limiter = FallbackRateLimiter::new(RateLimiter::new(redis)).with_share(0.5).unwrap();
    for allowed in [true, true, false] {
        let decision = limiter.check("k", &QUOTA, 1).await.unwrap();
        assert!(matches!(decision, Decision::InProcess { .. }), "{decision:?}");
        assert_eq!(decision.is_allowed(), allowed);
    }
}

#[tokio::test]
async fn locks_are_unavailable_and_never_held() {
    let (redis, _server) = gone().await;
    let locks = Locks::new(redis);
    // The first may still have been sent, on the connection that was there.
    let first = locks.try_acquire("k", LONG).await;
    assert!(first.is_err_and(|error| error.is_node_fault()));
    let began = std::time::Instant::now();
    for outcome in [locks.try_acquire("k", LONG).await, locks.acquire("k", LONG, DEADLINE).await] {
        match outcome {
            Err(Error::Unavailable(_)) => {}
            Ok(Acquisition::Held { .. }) => panic!("nobody holds it"),
            outcome => panic!("{outcome:?}"),
        }
    }
    assert!(began.elapsed() < DEADLINE * 2 + support::SLACK, "{:?}", began.elapsed());
}

#[tokio::test]
async fn acquire_lock_is_in_this_process_or_refused() {
    let (redis, _server) = gone().await;
    let adapter = RedisCacheAdapter::new(redis.clone());
    assert!(adapter.acquire_lock("k", LONG).await);
    assert!(!adapter.acquire_lock("k", LONG).await, "another task of this process");
    let strict = RedisCacheAdapter::new(redis).with_lock_fallback(LockFallback::Refuse);
    assert!(!strict.acquire_lock("l", LONG).await);
    assert_eq!(strict.health().swallowed.acquire_lock, 1);
}

#[tokio::test]
async fn all_others_are_errors() {
    let (redis, _server) = gone().await;
    let (user, session, row) = people();
    let sessions = Sessions::new(redis.clone());
    let tokens = RefreshTokens::new(redis.clone());
    let first = RefreshToken::new(&user, &session).unwrap();
    let fence = auth_adapter_redis::Fence::from_u64(1).unwrap();
    let faults = [
        Cache::new(redis.clone()).get("k").await.err(),
        Cache::new(redis.clone()).delete("k").await.err(),
        sessions.create(&user, &row).await.err(),
        sessions.list(&user).await.err(),
        sessions.touch(&user, &session).await.err(),
        tokens.issue(&first).await.err(),
        tokens.lookup(&first).await.err(),
        Leases::new(redis.clone()).peek("k").await.err(),
        FencedStrings::new(redis.clone()).check_and_set("k", "v", fence).await.err(),
        RateLimiter::new(redis.clone()).check("k", &QUOTA, 1).await.err(),
        redis.ping().await.err(),
    ];
    for fault in faults {
        let fault = fault.expect("it fails");
        assert!(matches!(fault, Error::Unavailable(_) | Error::Unanswered { .. }), "{fault}");
    }
}
