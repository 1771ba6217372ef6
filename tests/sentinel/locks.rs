//! Locks over a failover: whoever waits is served by the next primary, and a lock that was not replicated
//! has two holders, whom the fence tells apart.

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::Extend;
use auth_adapter_redis::{FencedStrings, LockGuard, Locks};

use super::failover::on_every_server;
use super::*;

const QUEUE: &str = "{lock}:queue";

#[track_caller]
fn won(outcome: Result<Acquisition, Error>) -> LockGuard {
    match outcome.unwrap() {
        Acquisition::Acquired(guard) => guard,
        held @ Acquisition::Held { .. } => panic!("expected the lock, got {held:?}"),
    }
}

/// Locks of a process of this name, with connections of its own.
async fn process(group: &SentinelGroup, name: &str) -> Locks {
    Locks::new(patient(group).await).with_owner(name).unwrap().with_fencing()
}

/// The places in the queue at this server.
fn places(server: &Server) -> Vec<String> {
    let places = server.command(&["ZRANGE", QUEUE, "0", "-1"]).unwrap();
    let places = places.array().unwrap_or_default().iter();
    places.map(|place| place.text().unwrap().to_owned()).collect()
}

/// Releases, also where the handle is still on its way to the next primary.
async fn released(guard: LockGuard, locks: &Locks) {
    let release = async {
        let freed = loop {
            match locks.leases().hand_over("lock", guard.token()).await {
                Ok(freed) => break freed,
                Err(error) => assert!(error.is_node_fault(), "{error}"),
            }
        };
        assert_eq!(freed, Release::Freed);
    };
    tokio::time::timeout(HANG, release).await.expect("the next primary answers");
}

/// The primary dies while one waits: before the lock is handed over by the next one, or once whoever waits
/// has their place there.
#[tokio::test]
async fn one_who_waits_is_served_by_the_next_primary() {
    for until_joined_again in [false, true] {
        let group = SentinelGroup::start().unwrap();
        let holders = process(&group, "holder").await;
        let holder = won(holders.try_acquire("lock", LONG).await);
        let before = holder.fence().unwrap();
        let waiters = process(&group, "waiter").await;
        let waiter = tokio::spawn(async move { won(waiters.acquire("lock", LONG, LONG).await) });
        on_every_server(&group, QUEUE).await;
        let last = group.primary().unwrap();
        let there = places(last);
        last.kill().unwrap();
        let now = group.wait_for_primary_other_than(last, HANG).unwrap();
        if until_joined_again {
            until(|| places(now).iter().any(|place| !there.contains(place))).await;
        }
        assert!(!waiter.is_finished() && !holder.is_lost());
        released(holder, &holders).await;
        let guard = tokio::time::timeout(HANG, waiter).await.expect("it is served").unwrap();

        let (asked, remaining) = (Instant::now(), guard.remaining());
        let left = now.command(&["PTTL", "lock"]).unwrap().int().unwrap();
        let most = Duration::from_millis(left.unsigned_abs()) + asked.elapsed();
        assert!(left > 0 && remaining <= most, "{remaining:?} remain, the server has {left} ms");
        let held = now.command(&["GET", "lock"]).unwrap();
        assert!(held.text().unwrap().ends_with(":waiter"), "{held:?}");
        assert!(!guard.is_lost() && guard.fence().unwrap() > before);
        let third = process(&group, "third").await.try_acquire("lock", LONG).await.unwrap();
        assert!(matches!(third, Acquisition::Held { .. }), "{third:?}");
        assert_eq!(guard.release().await.unwrap(), Release::Freed);
        until(|| places(now).is_empty()).await;
    }
}

/// What no lock on Redis can promise: the primary dies before a replica has the lock. Two believe that it
/// is theirs; what they write is told apart by the fence.
#[tokio::test]
async fn a_lock_that_no_replica_had_is_taken_twice_and_the_older_fence_is_refused() {
    let group = SentinelGroup::start().unwrap();
    let first = process(&group, "first").await;
    let second = process(&group, "second").await;
    let last = group.primary().unwrap();
    // The replicas are cut off, and not let in again.
    last.command(&["ACL", "SETUSER", "default", "-psync", "-sync"]).unwrap();
    let cut = last.command(&["CLIENT", "KILL", "TYPE", "REPLICA"]).unwrap();
    assert_eq!(cut.int(), Some(2));
    let early = won(first.try_acquire("lock", LONG).await);
    last.kill().unwrap();
    let now = group.wait_for_primary_other_than(last, HANG).unwrap();
    let late = won(second.acquire("lock", LONG, HANG).await);
    assert!(!early.is_lost() && !late.is_lost(), "two hold it");

    let resource = Server::start().unwrap();
    let strings = FencedStrings::new(Redis::connect(&resource.url()).await.unwrap());
    let (older, newer) = (early.fence().unwrap(), late.fence().unwrap());
    assert!(older < newer);
    assert_eq!(strings.check_and_set("k", "early", older).await.unwrap(), CheckAndSet::Set);
    assert_eq!(strings.check_and_set("k", "late", newer).await.unwrap(), CheckAndSet::Set);
    let refused = strings.check_and_set("k", "early", older).await.unwrap();
    assert_eq!(refused, CheckAndSet::Refused { newest: newer });
    assert_eq!(resource.command(&["GET", "k"]).unwrap().text(), Some("late"));

    // The first learns of it when it asks, and leaves the other's lock alone.
    let extended = async {
        loop {
            match early.extend(LONG).await {
                Ok(extended) => break extended,
                Err(error) => assert!(error.is_node_fault(), "{error}"),
            }
        }
    };
    let extended = tokio::time::timeout(HANG, extended).await.unwrap();
    assert_eq!(extended, Extend::NotOurs);
    assert!(early.is_lost() && !late.is_lost());
    assert_eq!(early.release().await.unwrap(), Release::NotOurs);
    let held = now.command(&["GET", "lock"]).unwrap();
    assert!(held.text().unwrap().ends_with(":second"), "{held:?}");
    assert_eq!(late.release().await.unwrap(), Release::Freed);
}
