//! Waiting for a lock, where what is lost are the replies to whoever takes a place in line.

use std::time::Duration;

use auth_adapter_redis::lock::{Leases, Release};
use auth_adapter_redis::testing::Proxy;
use auth_adapter_redis::{LockGuard, Locks};

use super::lease::{LEASE, LOCK, take};
use super::stage::Stage;
use super::support::{HANG, LONG, script, until};

/// The places in line.
fn places(stage: &Stage) -> i64 {
    let queue = format!("{LOCK}::queue");
    stage.own.command(&["ZCARD", &queue]).unwrap().int().unwrap()
}

fn is_taken(stage: &Stage) -> bool {
    stage.own.command(&["EXISTS", LOCK]).unwrap().int() == Some(1)
}

#[tokio::test]
async fn one_whose_place_is_not_confirmed_has_one_place_and_is_served() {
    let stage = Stage::new(HANG).await;
    let theirs = Leases::new(stage.direct.clone());
    for break_reply_to in [Proxy::drop_reply_to, Proxy::half_reply_to] {
        let token = take(&theirs, LOCK, LONG).await;
        let locks = Locks::new(stage.caller.clone());
        let lost = stage.proxy().stats().lost_bytes;
        break_reply_to(stage.proxy(), script("lock/join").sha());
        let waiter = tokio::spawn(async move { locks.acquire(LOCK, LEASE, LONG).await });
        until(|| stage.proxy().stats().lost_bytes > lost && places(&stage) == 1).await;
        assert_eq!(theirs.hand_over(LOCK, &token).await.unwrap(), Release::Freed);
        let won = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap().unwrap();
        let guard: LockGuard = won.guard().expect("it is granted");
        assert_eq!(places(&stage), 0);
        assert_eq!(guard.release().await.unwrap(), Release::Freed);
    }
}

#[tokio::test]
async fn one_who_never_hears_of_its_place_gives_it_up_and_what_it_was_granted() {
    let stage = Stage::new(HANG).await;
    let theirs = Leases::new(stage.direct.clone());
    for is_granted in [false, true] {
        let token = take(&theirs, LOCK, LONG).await;
        let locks = Locks::new(stage.caller.clone());
        stage.proxy().drop_replies_to(script("lock/join").sha());
        let waiting = locks.clone();
        let max_wait = Duration::from_millis(400);
        let waiter = tokio::spawn(async move { waiting.acquire(LOCK, LEASE, max_wait).await });
        until(|| places(&stage) == 1).await;
        if is_granted {
            assert_eq!(theirs.hand_over(LOCK, &token).await.unwrap(), Release::Freed);
        }
        let outcome = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
        let error = outcome.expect_err("it does not know");
        assert!(error.may_have_executed(), "{error}");
        until(|| places(&stage) == 0 && is_taken(&stage) != is_granted).await;
        stage.proxy().pass();
        let freed = theirs.release(LOCK, &token).await.unwrap();
        assert_eq!(freed == Release::Freed, !is_granted, "nobody took it from them");
        let next = locks.acquire(LOCK, LEASE, LONG).await.unwrap();
        assert_eq!(next.guard().expect("it is free").release().await.unwrap(), Release::Freed);
    }
}

/// It may have the lock, whatever becomes of its later attempts.
#[tokio::test]
async fn one_that_was_not_answered_and_is_then_refused_is_not_said_to_be_unsent() {
    let stage = Stage::new(HANG).await;
    let theirs = Leases::new(stage.direct.clone());
    for (is_held, name) in [(false, "lock/acquire"), (true, "lock/join")] {
        if is_held {
            let _theirs = take(&theirs, LOCK, LONG).await;
        }
        let locks = Locks::new(stage.caller.clone());
        stage.proxy().drop_replies_to(script(name).sha());
        let connections = stage.proxy().connections();
        let max_wait = Duration::from_secs(1);
        let waiter = tokio::spawn(async move { locks.acquire(LOCK, LEASE, max_wait).await });
        // It was sent twice, and will be once more.
        until(|| stage.proxy().connections() >= connections + 2).await;
        stage.proxy().refuse();
        let outcome = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
        let error = outcome.expect_err("it does not know");
        assert!(error.may_have_executed(), "{name}: {error}");
        stage.proxy().pass();
        until(|| is_taken(&stage) == is_held && places(&stage) == 0).await;
    }
}
