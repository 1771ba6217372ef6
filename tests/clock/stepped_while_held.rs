//! The clock is stepped while a lock is held.

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::{FencedStrings, lock::Extend};

use super::*;

/// The server keeps the lock for longer, and its holder trusts in it no longer for that.
#[tokio::test]
async fn back_makes_the_next_wait_and_the_guard_trust_in_nothing_more() {
    let server = Stepped::start();
    let locks = Locks::new(direct(&server).await);
    let ttl = Duration::from_millis(500);
    let guard = taken(&locks, ttl).await;
    server.step(-HOUR);
    assert!(guard.remaining() < ttl && pttl(&server) > 3_000_000);
    tokio::time::timeout(HANG, guard.lost()).await.unwrap();
    let outcome = locks.try_acquire("lock", LONG).await.unwrap();
    assert!(matches!(outcome, Acquisition::Held { .. }), "{outcome:?}");
    // Its release still frees it.
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    assert_eq!(taken(&locks, LONG).await.release().await.unwrap(), Release::Freed);
}

/// The server has an hour more left then, of which nothing remains once its clock is put right.
#[tokio::test]
async fn back_lets_an_extend_give_no_more_than_it_asked_for() {
    let server = Stepped::start();
    let locks = Locks::new(direct(&server).await);
    for locks in [locks.clone(), locks.with_renewal()] {
        server.step(0);
        let ttl = Duration::from_secs(3);
        let guard = taken(&locks, ttl).await;
        server.step(-HOUR);
        let outcome = guard.extend(ttl).await.unwrap();
        assert!(matches!(outcome, Extend::Extended { left } if left < ttl), "{outcome:?}");
        // Past the first renewal, where there is one.
        let began = Instant::now();
        while began.elapsed() < ttl / 2 {
            assert!(!guard.is_lost() && guard.remaining() < ttl, "{guard:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(pttl(&server) > 3_000_000);
        assert_eq!(guard.release().await.unwrap(), Release::Freed);
    }
}

/// What is assumed not to happen: two believe in the lock. The fence tells them apart.
#[tokio::test]
async fn forward_ends_a_lease_that_its_holder_believes_in_and_the_fence_stops_them() {
    let server = Stepped::start();
    let redis = direct(&server).await;
    let locks = Locks::new(redis.clone()).with_fencing();
    let early = taken(&locks, LONG).await;
    server.step(HOUR);
    let late = taken(&locks, LONG).await;
    assert!(!early.is_lost() && !late.is_lost());
    let strings = FencedStrings::new(redis);
    let (older, newer) = (early.fence().unwrap(), late.fence().unwrap());
    assert_eq!(strings.check_and_set("k", "late", newer).await.unwrap(), CheckAndSet::Set);
    let refused = strings.check_and_set("k", "early", older).await.unwrap();
    assert_eq!(refused, CheckAndSet::Refused { newest: newer });
    assert_eq!(early.extend(LONG).await.unwrap(), Extend::NotOurs);
    assert!(early.is_lost());
    assert_eq!(late.release().await.unwrap(), Release::Freed);
}
