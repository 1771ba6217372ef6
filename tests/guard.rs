//! Locks that look after themselves: how long they can be trusted, what ends them, and that nothing is
//! left of them.

#[path = "guard/acquire.rs"]
mod acquire;
#[path = "guard/close.rs"]
mod close;
#[path = "guard/dropped.rs"]
mod dropped;
#[path = "guard/fairness.rs"]
mod fairness;
#[path = "guard/fenced.rs"]
mod fenced;
#[path = "guard/late.rs"]
mod late;
#[path = "guard/lost.rs"]
mod lost;
#[path = "guard/paused.rs"]
mod paused;
#[path = "guard/polled.rs"]
mod polled;
#[path = "guard/refused.rs"]
mod refused;
#[path = "guard/renewal.rs"]
mod renewal;
mod support;
#[path = "guard/waiting.rs"]
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::{Extend, Leases, Release};
use auth_adapter_redis::{Error, LockGuard, Locks, Redis, ServerErrorKind};
use support::target::{Own, own};
use support::{LONG, assert_server, quick, raw, raw_on, redis, redis_on};

/// How long one call may take, where it is to fail.
const DEADLINE: Duration = Duration::from_millis(100);

async fn locks() -> (Locks, Redis) {
    let redis = redis().await;
    (Locks::new(redis.clone()).with_owner("test").unwrap(), redis)
}

/// Locks on a server that will be broken.
async fn brittle(server: &Own) -> (Locks, Redis) {
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    // The server has the scripts from now on.
    auth_adapter_redis::script::library().load(&redis_on(server).await).await.unwrap();
    (Locks::new(redis.clone()), redis)
}

#[track_caller]
fn won(outcome: Result<Acquisition, Error>) -> LockGuard {
    match outcome.unwrap() {
        Acquisition::Acquired(guard) => guard,
        held @ Acquisition::Held { .. } => panic!("expected the lock, got {held:?}"),
    }
}

/// Takes the lock, also where a busy machine lets a call take longer than it may.
async fn taken(locks: &Locks, ttl: Duration) -> LockGuard {
    won(locks.acquire("lock", ttl, LONG).await)
}

fn value(redis: &Redis) -> Option<String> {
    raw(redis, "GET", "lock", &[]).text().map(str::to_owned)
}

/// Whether the lock is there, on a server of the test's own.
fn is_there(server: &Own, redis: &Redis) -> bool {
    raw_on(server, redis, "EXISTS", "lock", &[]).int() == Some(1)
}

#[tokio::test]
async fn a_free_lock_is_acquired_and_one_of_another_is_not() {
    let (locks, redis) = locks().await;
    let guard = taken(&locks, LONG).await;
    assert!(value(&redis).unwrap().ends_with(":test"));
    let outcome = locks.try_acquire("lock", LONG).await.unwrap();
    let Acquisition::Held { left: Some(left) } = outcome else { panic!("{outcome:?}") };
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    assert_eq!(value(&redis), None);
}

#[tokio::test]
async fn a_guard_names_what_it_holds_and_shows_no_token() {
    let (locks, redis) = locks().await;
    let guard = taken(&locks, LONG).await;
    assert_eq!((guard.key(), guard.owner(), locks.owner()), ("lock", "test", "test"));
    let shown = format!("{guard:?} {locks:?}");
    assert!(!shown.contains(&value(&redis).unwrap()[..32]), "{shown}");
    // Its token is that of the lock.
    let leases = Leases::new(redis).with_owner("test").unwrap();
    assert_eq!(leases.release("lock", guard.token()).await.unwrap(), Release::Freed);
    assert_eq!(guard.release().await.unwrap(), Release::NotOurs);
}

#[tokio::test]
async fn what_remains_is_never_more_than_the_server_has() {
    let (locks, redis) = locks().await;
    for ttl in [Duration::from_millis(20), Duration::from_millis(100), LONG] {
        let guard = taken(&locks, ttl).await;
        let remaining = guard.remaining();
        let server = raw(&redis, "PTTL", "lock", &[]).int().unwrap();
        let later = guard.remaining();
        assert!(remaining < ttl - ttl / 100 && later <= remaining, "{remaining:?} of {ttl:?}");
        assert!(later.as_millis() as i64 <= server.max(0), "{later:?}, the server has {server} ms");
        let _ = guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn an_extend_moves_the_deadline_later_and_never_earlier() {
    let (locks, redis) = locks().await;
    let guard = taken(&locks, Duration::from_secs(10)).await;
    let outcome = guard.extend(LONG).await.unwrap();
    let Extend::Extended { left } = outcome else { panic!("{outcome:?}") };
    assert!(left < LONG && left > LONG / 2, "{left:?}");
    assert!(guard.remaining() > LONG / 2);
    assert!(raw(&redis, "PTTL", "lock", &[]).int().unwrap() > 30_000);
    let outcome = guard.extend(Duration::from_millis(1)).await.unwrap();
    assert!(matches!(outcome, Extend::Extended { left } if left > LONG / 2), "{outcome:?}");
    assert!(!guard.is_lost());
}

#[tokio::test]
async fn a_guard_is_shared_and_the_last_one_releases() {
    let (locks, redis) = locks().await;
    let guard = Arc::new(taken(&locks, LONG).await);
    let mut parts = tokio::task::JoinSet::new();
    for part in 0..4 {
        let guard = Arc::clone(&guard);
        parts.spawn(async move { guard.run(async move { part }).await.unwrap() });
    }
    assert_eq!(parts.join_all().await.iter().sum::<i32>(), 6);
    assert!(value(&redis).is_some());
    let guard = Arc::into_inner(guard).expect("the others are done");
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn a_release_after_the_lease_leaves_the_next_holder_alone() {
    let (locks, redis) = locks().await;
    let guard = taken(&locks, LONG).await;
    raw(&redis, "SET", "lock", &["theirs", "PX", "60000"]);
    assert_eq!(guard.release().await.unwrap(), Release::NotOurs);
    assert_eq!(value(&redis).as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_and_stays() {
    let (locks, redis) = locks().await;
    raw(&redis, "LPUSH", "lock", &["x"]);
    assert_server(locks.try_acquire("lock", LONG).await, ServerErrorKind::WrongType);
    assert_server(locks.acquire("lock", LONG, LONG).await, ServerErrorKind::WrongType);
    locks.close(LONG).await.unwrap();
    assert_eq!(raw(&redis, "LLEN", "lock", &[]).int(), Some(1));
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let server = own();
    let locks = Locks::new(redis_on(&server).await);
    let refused = |outcome| matches!(outcome, Err(Error::InvalidInput { .. }));
    for (key, ttl) in [
        ("", LONG),
        ("a\nb", LONG),
        ("k", Duration::ZERO),
        ("k", Duration::from_millis(2)),
        ("k", Duration::MAX),
    ] {
        assert!(refused(locks.try_acquire(key, ttl).await), "{key} {ttl:?}");
        assert!(refused(locks.acquire(key, ttl, LONG).await), "{key} {ttl:?}");
    }
    assert!(locks.clone().with_owner("").is_err());
    locks.close(LONG).await.unwrap();
    assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
}

/// What tasks can share and move.
#[test]
fn guards_and_what_is_awaited_of_them_can_go_to_other_tasks() {
    fn goes<T: Send + Sync + 'static>() {}
    fn moves<T: Send>(_: &T) {}
    goes::<LockGuard>();
    goes::<Locks>();
    fn of(guard: &LockGuard, locks: &Locks) {
        moves(&guard.lost());
        moves(&guard.run(async {}));
        moves(&guard.extend(LONG));
        moves(&locks.acquire("lock", LONG, LONG));
    }
    let _: fn(&LockGuard, &Locks) = of;
}
