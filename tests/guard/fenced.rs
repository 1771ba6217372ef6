//! Guards with a number that rises with each hold.

use super::support::target::own_behind_proxy;
use super::support::{HANG, until};
use super::*;

const TTL: Duration = Duration::from_secs(3);

fn counter(redis: &Redis) -> String {
    format!("{{{}lock}}:fence", redis.prefix())
}

#[tokio::test]
async fn a_guard_has_a_fence_only_where_it_was_asked_for() {
    let (locks, redis) = locks().await;
    let guard = taken(&locks, LONG).await;
    assert_eq!(guard.fence(), None);
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    assert!(raw(&redis, "GET", &counter(&redis), &[]).is_nil());
    let locks = locks.with_fencing().with_owner("another").unwrap().with_renewal();
    let mut last = None;
    for _ in 0..5 {
        let guard = won(locks.acquire("lock", LONG, LONG).await);
        assert!(guard.fence() > last && guard.owner() == "another");
        last = guard.fence();
        assert_eq!(guard.release().await.unwrap(), Release::Freed);
    }
}

/// The reply to the first acquire is lost, so that it is sent again.
#[tokio::test]
async fn a_retry_after_a_lost_reply_has_the_fence_that_was_minted_first() {
    let server = own_behind_proxy();
    let (locks, redis) = brittle(&server).await;
    let locks = locks.with_fencing();
    server.proxy().silence_replies();
    let waiting = tokio::spawn(async move { locks.acquire("lock", LONG, HANG).await });
    let minted = || {
        let counted = raw_on(&server, &redis, "GET", &counter(&redis), &[]);
        counted.text().map(|text| text.split_once(':').unwrap().0.to_owned())
    };
    until(|| minted().is_some()).await;
    let first = minted();
    server.proxy().pass();
    let guard = won(waiting.await.unwrap());
    assert_eq!((guard.fence().map(|fence| fence.to_string()), minted()), (first.clone(), first));
}

#[tokio::test]
async fn a_guard_that_was_stolen_from_is_lost_at_its_next_renewal() {
    let server = own();
    let redis = redis_on(&server).await;
    let locks = Locks::new(redis.clone()).with_fencing().with_renewal();
    let guard = taken(&locks, TTL).await;
    let operator = Locks::new(redis.clone()).with_owner("operator").unwrap();
    let seen = operator.leases().inspect("lock").await.unwrap().unwrap();
    let stolen = operator.steal("lock", &seen, LONG).await.unwrap().expect("it was just seen");
    assert!(operator.steal("lock", &seen, LONG).await.unwrap().is_none(), "it has changed");
    assert!(!guard.is_lost());
    let lost = async {
        let mut last = guard.remaining();
        while !guard.is_lost() {
            last = guard.remaining();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        last
    };
    let left = tokio::time::timeout(HANG, lost).await.unwrap();
    assert!(left > TTL / 4, "not by its deadline: {left:?} were left");
    assert!(stolen.fence() > guard.fence() && !stolen.is_lost());
    assert_eq!(guard.release().await.unwrap(), Release::NotOurs);
    assert_eq!(stolen.release().await.unwrap(), Release::Freed);
}
