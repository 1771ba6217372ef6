//! Taking a lock from whoever was seen to hold it, and from nobody else.

use auth_adapter_redis::Fence;
use auth_adapter_redis::lock::{LockInfo, Steal};

use super::acquire_fenced::{counter, fenced};
use super::*;

async fn seen(locks: &Leases) -> LockInfo {
    locks.inspect("lock").await.unwrap().expect("someone holds it")
}

async fn stolen(locks: &Leases, from: &LockInfo) -> (LockToken, Fence) {
    match locks.steal("lock", from, LONG).await.unwrap() {
        Steal::Stolen { token, fence } => (token, fence),
        other => panic!("expected the lock, got {other:?}"),
    }
}

async fn is_changed(locks: &Leases, from: &LockInfo) -> bool {
    matches!(locks.steal("lock", from, LONG).await.unwrap(), Steal::Changed)
}

async fn run_steal(redis: &Redis, from: &str, seen: &str, thief: char) -> Result<i64, Error> {
    let call = on_lock("lock/steal", redis).key("fence", &counter(redis));
    let call = call.arg("from", from).arg("seen", seen);
    call.arg("holder", holder(thief)).arg("ttl", LEASE).run().await
}

#[tokio::test]
async fn gives_fence_above_the_holders_whose_token_ends_nothing_any_more() {
    let (locks, redis) = locks().await;
    let operator = locks.clone().with_owner("operator").unwrap();
    let (old, before) = fenced(&locks).await;
    let (token, fence) = stolen(&operator, &seen(&operator).await).await;
    assert!(fence > before, "{fence} {before}");
    assert_eq!(locks.extend("lock", &old, LONG).await.unwrap(), Extend::NotOurs);
    assert_eq!(locks.release("lock", &old).await.unwrap(), Release::NotOurs);
    let now = seen(&locks).await;
    assert_eq!((now.owner.as_deref(), now.fence), (Some("operator"), Some(fence)));
    assert!(pttl(&redis) > LEASE - 5_000);
    assert_eq!(operator.release("lock", &token).await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn it_steals_from_holders_without_a_fence_and_from_other_software() {
    let (locks, redis) = locks().await;
    let _unfenced = acquired(&locks, LONG).await;
    let (token, first) = stolen(&locks, &seen(&locks).await).await;
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    for foreign in ["", "theirs"] {
        raw(&redis, "SET", "lock", &[foreign]);
        let (token, fence) = stolen(&locks, &seen(&locks).await).await;
        assert!(fence > first && pttl(&redis) > 0);
        assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    }
}

#[tokio::test]
async fn gives_0_where_another_holds_it_by_now_or_nobody() {
    let (locks, redis) = locks().await;
    let (token, _) = fenced(&locks).await;
    let old = seen(&locks).await;
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    assert!(is_changed(&locks, &old).await);
    assert_eq!(value(&redis), None);
    let (_, fence) = fenced(&locks).await;
    let next = value(&redis);
    assert!(is_changed(&locks, &old).await);
    assert_eq!((value(&redis), seen(&locks).await.fence), (next, Some(fence)));
}

/// The same words again, as a call that was resent: the lock is the thief's and its fence stays, and
/// from those who come after it nothing is taken.
#[tokio::test]
async fn a_second_execution_steals_from_nobody() {
    let redis = redis().await;
    for foreign in ["theirs", &holder('a')] {
        raw(&redis, "DEL", &counter(&redis), &[]);
        raw(&redis, "SET", "lock", &[foreign, "PX", "60000"]);
        let fence = run_steal(&redis, foreign, "", 's').await.unwrap();
        assert!(fence > 0);
        assert_eq!(run_steal(&redis, foreign, "", 's').await.unwrap(), fence);
        assert_eq!(run_release(&redis, &holder('s')).await.unwrap(), 1);
        assert_eq!(run_steal(&redis, foreign, "", 's').await.unwrap(), 0);
        assert_eq!(value(&redis), None);
        // One whose locks all have one value.
        raw(&redis, "SET", "lock", &[foreign, "PX", "60000"]);
        assert_eq!(run_steal(&redis, foreign, "", 's').await.unwrap(), 0);
        assert_eq!(value(&redis).as_deref(), Some(foreign));
    }
}

#[tokio::test]
async fn fails_wrongtype_and_moves_no_lock() {
    let (locks, redis) = locks().await;
    let _unfenced = acquired(&locks, LONG).await;
    let (from, before) = (seen(&locks).await, value(&redis));
    raw(&redis, "LPUSH", &counter(&redis), &["x"]);
    assert_server(locks.steal("lock", &from, LONG).await, ServerErrorKind::WrongType);
    assert_eq!(value(&redis), before);
}

#[tokio::test]
async fn fails_badvalue_where_the_counter_is_something_else() {
    let (locks, redis) = locks().await;
    let _unfenced = acquired(&locks, LONG).await;
    raw(&redis, "SET", &counter(&redis), &["x"]);
    let (from, before) = (seen(&locks).await, value(&redis));
    let error = locks.steal("lock", &from, LONG).await.unwrap_err().to_string();
    assert!(error.contains("BADVALUE"), "{error}");
    assert_eq!(value(&redis), before);
}

#[tokio::test]
async fn fails_oom_on_a_full_server_and_moves_no_lock() {
    let server = own();
    let redis = redis_on(&server).await;
    let locks = Leases::new(redis.clone());
    let (token, fence) = fenced(&locks).await;
    let from = seen(&locks).await;
    support::set(&server, "maxmemory", "1024");
    let outcome = locks.steal("lock", &from, LONG).await;
    assert_server(outcome, ServerErrorKind::OutOfMemory);
    assert_eq!(seen(&locks).await.fence, Some(fence));
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
}
