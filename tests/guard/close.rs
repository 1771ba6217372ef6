//! Closing waits for what is released in the background, and tells what it could not wait for.

use super::support::target::own_behind_proxy;
use super::support::{HANG, SHORT};
use super::*;

#[tokio::test]
async fn it_waits_for_all_that_was_dropped_and_acquires_nothing_more() {
    let (locks, redis) = locks().await;
    let keys: Vec<_> = (0..300).map(|at| format!("lock{at}")).collect();
    let mut guards = Vec::new();
    for key in &keys {
        guards.push(won(locks.try_acquire(key, LONG).await));
    }
    let stays = taken(&locks, LONG).await;
    drop(guards);
    locks.close(HANG).await.unwrap();
    for key in &keys {
        assert_eq!(raw(&redis, "EXISTS", key, &[]).int(), Some(0), "{key}");
    }
    for outcome in
        [locks.try_acquire("lock0", LONG).await, locks.clone().acquire("lock0", LONG, LONG).await]
    {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(stays.release().await.unwrap(), Release::Freed, "a guard that is held goes on");
}

#[tokio::test]
async fn it_tells_what_it_could_not_release_in_time() {
    let server = own_behind_proxy();
    let (locks, redis) = brittle(&server).await;
    let (one, two) = (taken(&locks, LONG).await, won(locks.acquire("{lock}2", LONG, LONG).await));
    server.proxy().black_hole();
    drop((one, two));
    let began = std::time::Instant::now();
    let unreleased = locks.close(SHORT).await.unwrap_err();
    assert!(began.elapsed() >= SHORT && began.elapsed() < HANG, "{:?}", began.elapsed());
    assert_eq!(unreleased.keys, ["lock", "{lock}2"]);
    assert_eq!(unreleased.to_string(), "2 locks are not released yet");
    assert!(is_there(&server, &redis));
    // They are tried further.
    server.proxy().pass();
    locks.close(HANG).await.unwrap();
    assert!(!is_there(&server, &redis));
}

#[tokio::test]
async fn a_release_without_an_answer_is_tried_again() {
    let server = own_behind_proxy();
    let (locks, redis) = brittle(&server).await;
    let guard = taken(&locks, LONG).await;
    server.proxy().black_hole();
    let error = guard.release().await.unwrap_err();
    assert!(error.may_have_executed(), "{error}");
    server.proxy().pass();
    locks.close(HANG).await.unwrap();
    assert!(!is_there(&server, &redis));
}
