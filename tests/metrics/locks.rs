//! Locks with guards: waits, holds, renewals, losses.

use std::collections::BTreeMap;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::{LockGuard, Locks};

use super::*;

const KEY: &str = "private-lock";
const TTL: Duration = Duration::from_secs(3);

async fn taken(locks: &Locks, ttl: Duration) -> LockGuard {
    locks.acquire(KEY, ttl, HANG).await.unwrap().guard().expect("it comes to be free")
}

#[tokio::test]
async fn each_wait_and_each_hold_is_measured_once() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let locks = Locks::new(on(&server).await).with_owner("private-owner").unwrap();
    let guard = taken(&locks, LONG).await;
    let held = locks.acquire(KEY, LONG, SHORT).await.unwrap();
    assert!(matches!(held, Acquisition::Held { .. }));
    locks.acquire("", LONG, SHORT).await.unwrap_err();
    tokio::select! {
        biased;
        told = locks.acquire(KEY, LONG, HANG) => panic!("{told:?}"),
        () = std::future::ready(()) => {}
    }
    // One that is served once the first has released.
    let (released, second) = tokio::join!(
        async {
            tokio::time::sleep(SHORT).await;
            guard.release().await
        },
        taken(&locks, LONG)
    );
    let _freed = released.unwrap();
    drop(second);
    let _guard = locks.try_acquire("private-other", LONG).await.unwrap().guard().unwrap();
    let seen = watch.seen();
    let waits = seen.times("lock_wait_seconds");
    let times: BTreeMap<_, _> = waits.iter().map(|(key, times)| (*key, times.0)).collect();
    let expected = BTreeMap::from([
        ("outcome=acquired", 2),
        ("outcome=cancelled", 1),
        ("outcome=held", 1),
        ("outcome=rejected", 1),
    ]);
    assert_eq!(times, expected);
    assert!(waits["outcome=acquired"].2 >= SHORT.as_secs_f64(), "{waits:?}");
    assert!(waits["outcome=held"].1 >= SHORT.as_secs_f64(), "{waits:?}");
    let holds = seen.times("lock_hold_seconds");
    let (times, _, most) = holds["end=released"];
    assert_eq!((holds.len(), times), (1, 2), "the third is held: {holds:?}");
    assert!(most >= SHORT.as_secs_f64() && most < HANG.as_secs_f64(), "{holds:?}");
    assert!(seen.counts("locks_lost_total").is_empty());
}

#[tokio::test]
async fn a_renewal_tells_how_much_was_left_and_a_loss_is_counted_once() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let locks = Locks::new(on(&server).await);
    let renewed = locks.clone().with_renewal();
    let guard = taken(&renewed, TTL).await;
    until(|| server.command_calls("pexpire") >= 2).await;
    server.command(&["DEL", "private:private-lock"]).unwrap();
    tokio::time::timeout(HANG, guard.lost()).await.unwrap();
    let _not_ours = guard.release().await.unwrap();
    let seen = watch.seen();
    let renewals = seen.counts("lock_renewals_total");
    let renewed = server.command_calls("pexpire");
    assert_eq!(renewals, BTreeMap::from([("outcome=lost", 1), ("outcome=renewed", renewed)]));
    let (times, least, most) = seen.times("lock_renewal_slack_seconds")[""];
    assert_eq!(times as u64, renewed);
    assert!(least > 0.0 && most <= TTL.as_secs_f64() * 0.75, "of {TTL:?}: {least} to {most}");
    assert_eq!(seen.counts("locks_lost_total"), BTreeMap::from([("", 1)]));
    let (times, _, most) = seen.times("lock_hold_seconds")["end=lost"];
    assert!(times == 1 && most >= TTL.as_secs_f64() * 0.6, "{most}");
}

/// Nobody looked at it meanwhile.
#[tokio::test]
async fn a_lease_that_ended_under_its_guard_is_lost_and_was_held_so_long() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let guard = taken(&Locks::new(on(&server).await), SHORT).await;
    tokio::time::sleep(SHORT * 4).await;
    assert!(watch.seen().times("lock_hold_seconds").is_empty());
    drop(guard);
    let seen = watch.seen();
    assert_eq!(seen.counts("locks_lost_total"), BTreeMap::from([("", 1)]));
    let holds = seen.times("lock_hold_seconds");
    let (times, _, most) = holds["end=lost"];
    assert_eq!((holds.len(), times), (1, 1));
    assert!(most <= SHORT.as_secs_f64(), "until then, not until it was seen: {most}");
}

#[tokio::test]
async fn a_renewal_that_is_not_answered_says_so() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let locks = Locks::new(on(&server).await).with_renewal();
    let guard = taken(&locks, TTL).await;
    server.kill().unwrap();
    tokio::time::timeout(HANG, guard.lost()).await.unwrap();
    let seen = watch.seen();
    let renewals = seen.counts("lock_renewals_total");
    assert!(renewals["outcome=unavailable"] >= 1, "{renewals:?}");
    assert!(!renewals.contains_key("outcome=renewed"), "{renewals:?}");
    assert_eq!(seen.counts("locks_lost_total"), BTreeMap::from([("", 1)]));
}
