//! Waiting for a lock, and what is done about an acquire without an answer.

use std::time::Instant;

use auth_adapter_redis::testing::Data;

use super::support::target::own_behind_proxy;
use super::support::{HANG, SHORT, until};
use super::*;

#[tokio::test]
async fn one_waits_until_the_holder_releases() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    let waiter = tokio::spawn({
        let locks = locks.clone();
        async move { won(locks.acquire("lock", LONG, LONG).await) }
    });
    let first = value(&redis);
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let guard = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
    assert!(value(&redis).is_some() && value(&redis) != first);
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn one_waits_until_a_lease_ends() {
    let (locks, redis) = locks().await;
    let began = Instant::now();
    raw(&redis, "SET", "lock", &["dead", "PX", "120"]);
    let guard = won(locks.acquire("lock", LONG, LONG).await);
    assert!(began.elapsed() >= SHORT - Duration::from_millis(2), "{:?}", began.elapsed());
    assert!(!guard.is_lost());
}

#[tokio::test]
async fn one_waits_so_long_and_is_told_who_was_faster() {
    let (locks, redis) = locks().await;
    let _holder = taken(&locks, LONG).await;
    for wait in [Duration::ZERO, SHORT] {
        let began = Instant::now();
        let outcome = locks.acquire("lock", LONG, wait).await.unwrap();
        let Acquisition::Held { left: Some(left) } = outcome else { panic!("{outcome:?}") };
        assert!(left > LONG / 2);
        let waited = began.elapsed();
        assert!(waited >= wait && waited < HANG, "{waited:?}");
    }
    raw(&redis, "SET", "lock", &["without an end"]);
    let outcome = locks.acquire("lock", LONG, SHORT).await.unwrap();
    assert!(matches!(outcome, Acquisition::Held { left: None }), "{outcome:?}");
}

#[tokio::test]
async fn an_acquire_without_an_answer_is_an_error_that_says_so_and_leaves_no_lock() {
    let server = own_behind_proxy();
    let (locks, redis) = brittle(&server).await;
    server.proxy().silence_replies();
    let error = locks.try_acquire("lock", LONG).await.unwrap_err();
    assert!(error.may_have_executed(), "{error}");
    assert!(is_there(&server, &redis));
    server.proxy().pass();
    locks.close(HANG).await.unwrap();
    assert!(!is_there(&server, &redis));
}

#[tokio::test]
async fn an_acquire_that_waits_is_not_kept_out_by_the_lock_that_its_lost_call_took() {
    let server = own_behind_proxy();
    let (locks, redis) = brittle(&server).await;
    let proxy = server.proxy();
    proxy.silence_replies();
    let waiter = tokio::spawn({
        let locks = locks.clone();
        async move { won(locks.acquire("lock", LONG, LONG).await) }
    });
    until(|| is_there(&server, &redis)).await;
    // Long enough for the first call to be given up.
    tokio::time::sleep(DEADLINE * 2).await;
    proxy.pass();
    let guard = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
    assert!(guard.remaining() < LONG - LONG / 100);
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    locks.close(HANG).await.unwrap();
    assert!(!is_there(&server, &redis));
}

/// No guard is lost at its birth, and none is told of as won that is.
#[tokio::test]
async fn an_answer_that_comes_when_the_lease_may_have_ended_wins_nothing() {
    let server = own_behind_proxy();
    let redis = redis_on(&server).await;
    let locks = Locks::new(redis.clone());
    auth_adapter_redis::script::library().load(&redis).await.unwrap();
    server.proxy().delay(SHORT);
    let error = locks.try_acquire("lock", SHORT).await.unwrap_err();
    assert!(error.may_have_executed(), "{error}");
    server.proxy().pass();
    let guard = won(locks.acquire("lock", LONG, LONG).await);
    assert!(!guard.is_lost());
}

#[tokio::test]
async fn one_waits_for_a_server_that_is_away() {
    let server = own();
    let (locks, redis) = brittle(&server).await;
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    let error = locks.acquire("lock", LONG, SHORT).await.unwrap_err();
    assert!(error.is_node_fault(), "{error}");
    let waiter = tokio::spawn(async move { won(locks.acquire("lock", LONG, LONG).await) });
    server.restart(Data::Lost);
    let guard = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
    assert!(is_there(&server, &redis));
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}
