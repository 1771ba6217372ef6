//! Fences over a clock that is stepped.

use super::*;

const DAY: i64 = 24 * HOUR;
/// The counter beside the lock.
const COUNTER: &str = "{lock}:fence";

async fn next(locks: &Locks) -> u64 {
    let guard = taken(locks, LONG).await;
    let fence = guard.fence().expect("these have fences").as_u64();
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    fence
}

async fn fenced(server: &Stepped) -> Locks {
    Locks::new(direct(server).await).with_fencing()
}

#[tokio::test]
async fn it_rises_as_long_as_the_counter_or_the_clock_survives() {
    let server = Stepped::start();
    let locks = fenced(&server).await;
    let first = next(&locks).await;
    server.step(-HOUR);
    let second = next(&locks).await;
    assert_eq!(second, first + 1, "by the counter");
    server.step(HOUR);
    assert_eq!(server.command(&["FLUSHALL"]).unwrap().text(), Some("OK"));
    let third = next(&locks).await;
    assert!(third > second && third <= server.micros(), "by the clock");
}

/// What is assumed not to happen.
#[tokio::test]
async fn it_falls_where_both_are_lost() {
    let server = Stepped::start();
    let locks = fenced(&server).await;
    let first = next(&locks).await;
    server.step(-HOUR);
    assert_eq!(server.command(&["DEL", COUNTER]).unwrap().int(), Some(1));
    assert!(next(&locks).await < first);
}

#[tokio::test]
async fn of_a_dead_name_nothing_is_left_after_a_day_and_its_next_fence_is_greater() {
    let server = Stepped::start();
    let locks = fenced(&server).await;
    let first = next(&locks).await;
    server.step(DAY - HOUR);
    assert_eq!(server.command(&["EXISTS", COUNTER]).unwrap().int(), Some(1));
    server.step(DAY + HOUR);
    assert_eq!(server.command(&["EXISTS", COUNTER]).unwrap().int(), Some(0));
    // A hold in the future, and a clock that is put right: the counter outlasts the difference.
    let second = next(&locks).await;
    server.step(0);
    let third = next(&locks).await;
    assert!(first < second && second + 1 == third, "{first} {second} {third}");
    server.step(DAY + HOUR);
    assert_eq!(server.command(&["EXISTS", COUNTER]).unwrap().int(), Some(1));
    server.step(3 * DAY);
    assert_eq!(server.command(&["KEYS", "*"]).unwrap().array().map(<[_]>::len), Some(0));
    assert!(next(&locks).await > third);
}
