//! Locks on a real server: only their owner releases them, whatever comes between.

#[path = "lock/acquire_fenced.rs"]
mod acquire_fenced;
#[path = "lock/extend_many.rs"]
mod extend_many;
#[path = "lock/hand_over.rs"]
mod hand_over;
#[path = "lock/inspect.rs"]
mod inspect;
#[path = "lock/join.rs"]
mod join;
#[path = "lock/leave.rs"]
mod leave;
#[path = "lock/list.rs"]
mod list;
#[path = "lock/peek.rs"]
mod peek;
#[path = "lock/steal.rs"]
mod steal;
mod support;

use std::time::Duration;

use auth_adapter_redis::lock::{Acquire, Extend, Join, Leases, LockToken, Place, Release, Told};
use auth_adapter_redis::script::Call;
use auth_adapter_redis::{Error, Redis, ServerErrorKind};
use support::target::own;
use support::{
    LONG, SHORT, assert_server, full_server, holder, on_lock, raw, raw_on, redis, redis_on,
};

const LEASE: i64 = 60_000;

async fn locks() -> (Leases, Redis) {
    let redis = redis().await;
    (Leases::new(redis.clone()).with_owner("test").unwrap(), redis)
}

async fn acquired(locks: &Leases, ttl: Duration) -> LockToken {
    match locks.acquire("lock", ttl).await.unwrap() {
        Acquire::Acquired(token) => token,
        other => panic!("expected the lock, got {other:?}"),
    }
}

/// The lease of `lock` ends now, as its TTL would end it.
fn expire(redis: &Redis) {
    assert_eq!(raw(redis, "DEL", "lock", &[]).int(), Some(1));
}

fn value(redis: &Redis) -> Option<String> {
    raw(redis, "GET", "lock", &[]).text().map(str::to_owned)
}

fn pttl(redis: &Redis) -> i64 {
    raw(redis, "PTTL", "lock", &[]).int().unwrap()
}

/// The key `name` beside `lock`, which a handle's prefix is a part of.
fn beside(redis: &Redis, name: &str) -> String {
    format!("{{{}lock}}:{name}", redis.prefix())
}

/// A call on `lock`, its queue and its counter of fences.
fn on_queue<'a>(name: &str, redis: &'a Redis) -> Call<'a> {
    let call = on_lock(name, redis).key("queue", &beside(redis, "queue"));
    call.key("fence", &beside(redis, "fence"))
}

/// A place whose holder is told nothing.
fn place() -> Place {
    Place::new(Told::Never, Duration::from_secs(1)).unwrap()
}

/// The same as the queue has it.
fn place_of(holder: &str) -> String {
    format!("n:0:1000::{holder}")
}

async fn run_join(redis: &Redis, holder: &str, waited: i64) -> Result<(i64, i64, i64), Error> {
    run_join_at(redis, holder, &place_of(holder), waited).await
}

async fn run_join_at(
    redis: &Redis,
    holder: &str,
    place: &str,
    waited: i64,
) -> Result<(i64, i64, i64), Error> {
    let call = on_queue("lock/join", redis).arg("holder", holder).arg("ttl", LEASE);
    call.arg("place", place).arg("waited", waited).run().await
}

async fn run_hand_over(redis: &Redis, holder: &str) -> Result<i64, Error> {
    on_queue("lock/hand_over", redis).arg("holder", holder).run().await
}

/// Who waits, in the order in which they will be served.
fn queue(redis: &Redis) -> Vec<String> {
    let told = raw(redis, "ZRANGE", &beside(redis, "queue"), &["0", "-1"]);
    let places = told.array().unwrap().iter().map(|place| place.text().unwrap());
    places.map(|place| place.splitn(5, ':').last().unwrap().to_owned()).collect()
}

async fn run_acquire(redis: &Redis, holder: &str, ttl: i64) -> Result<i64, Error> {
    on_lock("lock/acquire", redis).arg("holder", holder).arg("ttl", ttl).run().await
}

async fn run_extend(redis: &Redis, holder: &str, ttl: i64) -> Result<i64, Error> {
    on_lock("lock/extend", redis).arg("holder", holder).arg("ttl", ttl).run().await
}

async fn run_release(redis: &Redis, holder: &str) -> Result<i64, Error> {
    on_lock("lock/release", redis).arg("holder", holder).run().await
}

mod acquire {
    use super::*;

    #[tokio::test]
    async fn gives_0_and_takes_a_free_lock() {
        let redis = redis().await;
        assert_eq!(run_acquire(&redis, &holder('a'), LEASE).await.unwrap(), 0);
        assert_eq!(value(&redis), Some(holder('a')));
        assert!((LEASE - 5_000..=LEASE).contains(&pttl(&redis)));
    }

    #[tokio::test]
    async fn gives_left_of_anothers_lease_and_leaves_it_alone() {
        let redis = redis().await;
        run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
        let left = run_acquire(&redis, &holder('b'), 5).await.unwrap();
        assert!((LEASE - 5_000..=LEASE).contains(&left), "{left}");
        assert_eq!(value(&redis), Some(holder('a')));
        assert!(pttl(&redis) > LEASE - 5_000);
    }

    #[tokio::test]
    async fn gives_minus_1_where_it_is_held_without_an_end() {
        let (locks, redis) = locks().await;
        raw(&redis, "SET", "lock", &["foreign"]);
        assert_eq!(run_acquire(&redis, &holder('a'), LEASE).await.unwrap(), -1);
        let outcome = locks.acquire("lock", LONG).await.unwrap();
        assert!(matches!(outcome, Acquire::Held { left: None }), "{outcome:?}");
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (locks, redis) = locks().await;
        raw(&redis, "LPUSH", "lock", &["x"]);
        assert_server(run_acquire(&redis, &holder('a'), LEASE).await, ServerErrorKind::WrongType);
        assert_server(locks.acquire("lock", LONG).await, ServerErrorKind::WrongType);
        assert_eq!(raw(&redis, "LLEN", "lock", &[]).int(), Some(1));
    }

    #[tokio::test]
    async fn fails_oom_on_a_full_server() {
        let server = full_server();
        let redis = redis_on(&server).await;
        assert_server(run_acquire(&redis, &holder('a'), LEASE).await, ServerErrorKind::OutOfMemory);
        assert_eq!(raw_on(&server, &redis, "EXISTS", "lock", &[]).int(), Some(0));
    }

    #[tokio::test]
    async fn a_retry_finds_its_own_lock_and_renews_it() {
        let redis = redis().await;
        run_acquire(&redis, &holder('a'), 10_000).await.unwrap();
        assert_eq!(run_acquire(&redis, &holder('a'), LEASE).await.unwrap(), 0);
        assert!(pttl(&redis) > LEASE - 5_000);
    }

    #[tokio::test]
    async fn a_retry_never_shortens_the_lease() {
        let redis = redis().await;
        run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
        assert_eq!(run_acquire(&redis, &holder('a'), 1).await.unwrap(), 0);
        assert!(pttl(&redis) > LEASE - 5_000);
    }

    #[tokio::test]
    async fn a_retry_writes_so_that_a_wait_after_it_counts() {
        let server = own();
        let redis = redis_on(&server).await;
        run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
        let dirty = || server.info_field("persistence", "rdb_changes_since_last_save").unwrap();
        let before = dirty();
        run_acquire(&redis, &holder('a'), 1).await.unwrap();
        assert_ne!(dirty(), before, "the retry changed nothing that a replica would see");
    }

    #[tokio::test]
    async fn a_lease_in_its_last_millisecond_is_still_held() {
        let redis = redis().await;
        for _ in 0..200 {
            raw(&redis, "SET", "lock", &["other", "PX", "1"]);
            let outcome = run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
            let ours = value(&redis) == Some(holder('a'));
            assert_eq!(outcome == 0, ours, "{outcome}");
            raw(&redis, "DEL", "lock", &[]);
        }
    }

    #[tokio::test]
    async fn tokens_are_new_for_each_acquisition() {
        let (locks, redis) = locks().await;
        let mut seen = std::collections::HashSet::new();
        for _ in 0..100 {
            let token = acquired(&locks, LONG).await;
            assert!(seen.insert(value(&redis).unwrap()));
            assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
        }
    }

    #[tokio::test]
    async fn a_foreign_lock_is_held_and_not_released() {
        let (locks, redis) = locks().await;
        let token = acquired(&locks, LONG).await;
        expire(&redis);
        raw(&redis, "SET", "lock", &["foreign-value", "NX", "EX", "60"]);
        let outcome = locks.acquire("lock", LONG).await.unwrap();
        assert!(matches!(outcome, Acquire::Held { left: Some(_) }), "{outcome:?}");
        assert_eq!(locks.release("lock", &token).await.unwrap(), Release::NotOurs);
        assert_eq!(value(&redis).as_deref(), Some("foreign-value"));
    }

    #[tokio::test]
    async fn our_lock_keeps_a_foreign_set_nx_out() {
        let (locks, redis) = locks().await;
        let _token = acquired(&locks, LONG).await;
        assert!(raw(&redis, "SET", "lock", &["foreign", "NX", "EX", "60"]).is_nil());
    }

    #[tokio::test]
    async fn bad_input_is_refused_before_anything_is_sent() {
        let server = own();
        let locks = Leases::new(redis_on(&server).await);
        let refused = |outcome| matches!(outcome, Err(Error::InvalidInput { .. }));
        for key in ["", "a\nb"] {
            assert!(refused(locks.acquire(key, LONG).await.map(drop)));
        }
        for ttl in [Duration::ZERO, Duration::from_nanos(999_999), Duration::MAX] {
            assert!(refused(locks.acquire("k", ttl).await.map(drop)));
        }
        for owner in ["", "a\rb", &"o".repeat(513)] {
            assert!(locks.clone().with_owner(owner).is_err());
        }
        assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
    }

    #[tokio::test]
    async fn no_token_shows_in_debug_output() {
        let (locks, redis) = locks().await;
        let token = acquired(&locks, LONG).await;
        let secret = value(&redis).unwrap()[..32].to_owned();
        let info = locks.inspect("lock").await.unwrap();
        let shown = format!("{token:?} {:?} {locks:?} {info:?}", Acquire::Acquired(token.clone()));
        assert!(!shown.contains(&secret), "{shown}");
    }
}

mod extend {
    use super::*;

    #[tokio::test]
    async fn gives_left_after_moving_the_end_later() {
        let redis = redis().await;
        run_acquire(&redis, &holder('a'), 10_000).await.unwrap();
        assert_eq!(run_extend(&redis, &holder('a'), LEASE).await.unwrap(), LEASE);
        assert!(pttl(&redis) > LEASE - 5_000);
    }

    #[tokio::test]
    async fn gives_0_where_another_holds_it() {
        let redis = redis().await;
        run_acquire(&redis, &holder('b'), 10_000).await.unwrap();
        assert_eq!(run_extend(&redis, &holder('a'), LEASE).await.unwrap(), 0);
        assert!(pttl(&redis) <= 10_000);
    }

    #[tokio::test]
    async fn a_lease_that_ended_is_not_brought_back() {
        let (locks, redis) = locks().await;
        let token = acquired(&locks, LONG).await;
        expire(&redis);
        assert_eq!(locks.extend("lock", &token, LONG).await.unwrap(), Extend::NotOurs);
        assert_eq!(value(&redis), None);
    }

    #[tokio::test]
    async fn it_never_shortens_the_lease() {
        let (locks, redis) = locks().await;
        let token = acquired(&locks, LONG).await;
        let outcome = locks.extend("lock", &token, Duration::from_millis(1)).await.unwrap();
        let Extend::Extended { left } = outcome else { panic!("{outcome:?}") };
        assert!(left > LONG - Duration::from_secs(5), "{left:?}");
        assert!(pttl(&redis) > LEASE - 5_000);
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (locks, redis) = locks().await;
        let token = acquired(&locks, LONG).await;
        expire(&redis);
        raw(&redis, "LPUSH", "lock", &["x"]);
        let outcome = locks.extend("lock", &token, LONG).await;
        assert_server(outcome, ServerErrorKind::WrongType);
        assert_eq!(pttl(&redis), -1);
    }

    #[tokio::test]
    async fn a_full_server_still_extends() {
        let server = own();
        let locks = Leases::new(redis_on(&server).await);
        let token = acquired(&locks, Duration::from_secs(10)).await;
        support::set(&server, "maxmemory", "1024");
        let outcome = locks.extend("lock", &token, LONG).await.unwrap();
        assert_eq!(outcome, Extend::Extended { left: LONG });
    }
}

mod release {
    use super::*;

    #[tokio::test]
    async fn gives_1_and_frees_the_holders_lock() {
        let redis = redis().await;
        run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
        assert_eq!(run_release(&redis, &holder('a')).await.unwrap(), 1);
        assert_eq!(value(&redis), None);
    }

    #[tokio::test]
    async fn gives_0_where_another_holds_it() {
        let redis = redis().await;
        run_acquire(&redis, &holder('b'), LEASE).await.unwrap();
        assert_eq!(run_release(&redis, &holder('a')).await.unwrap(), 0);
        assert_eq!(value(&redis), Some(holder('b')));
    }

    #[tokio::test]
    async fn gives_0_where_the_lock_was_never_held() {
        let redis = redis().await;
        assert_eq!(run_release(&redis, &holder('a')).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (locks, redis) = locks().await;
        let token = acquired(&locks, LONG).await;
        expire(&redis);
        raw(&redis, "LPUSH", "lock", &["x"]);
        assert_server(locks.release("lock", &token).await, ServerErrorKind::WrongType);
        assert_eq!(raw(&redis, "LLEN", "lock", &[]).int(), Some(1));
    }

    #[tokio::test]
    async fn a_late_release_leaves_the_next_holders_lock_alone() {
        let (a, redis) = locks().await;
        let b = Leases::new(redis.clone()).with_owner("b").unwrap();
        let late = acquired(&a, SHORT).await;
        let token = loop {
            // The lease ends by its TTL, on the server's clock.
            match b.acquire("lock", LONG).await.unwrap() {
                Acquire::Acquired(token) => break token,
                Acquire::Held { left } => tokio::time::sleep(left.unwrap()).await,
                Acquire::Unknown { error, .. } => panic!("{error}"),
            }
        };
        assert_eq!(a.release("lock", &late).await.unwrap(), Release::NotOurs);
        assert_eq!(b.extend("lock", &token, LONG).await.unwrap(), Extend::Extended { left: LONG });
        assert_eq!(b.release("lock", &token).await.unwrap(), Release::Freed);
    }

    #[tokio::test]
    async fn the_same_owner_name_does_not_make_the_same_holder() {
        let (locks, redis) = locks().await;
        let late = acquired(&locks, LONG).await;
        expire(&redis);
        let token = acquired(&locks, LONG).await;
        assert_eq!(locks.release("lock", &late).await.unwrap(), Release::NotOurs);
        assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    }

    #[tokio::test]
    async fn a_full_server_still_frees() {
        let server = own();
        let locks = Leases::new(redis_on(&server).await);
        let token = acquired(&locks, LONG).await;
        support::set(&server, "maxmemory", "1024");
        assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    }
}
