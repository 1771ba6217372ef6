//! What the tests of rate limits share.

use std::fmt::Debug;
use std::time::Duration;

use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::testing::Reply;
use auth_adapter_redis::{Error, ExposedError, RateLimiter, Redis, ServerErrorKind};

use crate::support::target::shared;
use crate::support::{exposed, patient, raw, redis};

/// Nothing flows back while a test runs.
pub const SLOW: Quota = Quota::per_hour(1).burst(5);
/// What one of [`SLOW`] takes to flow back, in microseconds.
pub const HOUR: i64 = 3_600_000_000;
/// What all of [`SLOW`] takes.
pub const HORIZON: i64 = 5 * HOUR;
/// What a busy machine may add, in microseconds.
pub const SLACK: i64 = 10_000_000;
/// What no limiter wrote.
pub const FOREIGN: [&str; 8] = ["", "x", "-1", "1.5", "1e3", "0x10", " 12", "12345678901234567"];

pub async fn limiter() -> (RateLimiter, Redis) {
    let redis = redis().await;
    (RateLimiter::new(redis.clone()), redis)
}

/// The same keys over three connections.
pub async fn three() -> (Vec<RateLimiter>, Redis) {
    let first = redis().await;
    let mut limiters = vec![RateLimiter::new(first.clone())];
    for _ in 0..2 {
        let next = patient(shared()).prefix(first.prefix()).build().unwrap();
        next.connected().await;
        limiters.push(RateLimiter::new(next));
    }
    (limiters, first)
}

/// Whether so much of [`SLOW`] passes.
pub async fn passes(limiter: &RateLimiter, key: &str, cost: u32) -> bool {
    limiter.check(key, &SLOW, cost).await.unwrap().is_allowed()
}

/// The error of a reset of what a quota has filled after so long.
#[track_caller]
pub fn not_reset<T>(outcome: Result<T, ExposedError>, fills_in: Duration) -> Result<T, Error> {
    exposed(outcome, "the rate limit was not reset and may go on to deny", fills_in)
}

/// The clock of the server that has the key, in microseconds.
pub fn clock(redis: &Redis, key: &str) -> i64 {
    let key = format!("{}{key}", redis.prefix());
    let time = shared().command(&["EVAL", "return redis.call('TIME')", "1", &key]).unwrap();
    let part = |at: usize| time.array().unwrap()[at].text().unwrap().parse::<i64>().unwrap();
    part(0) * 1_000_000 + part(1)
}

/// A bucket that is full again so much later than now, and has no TTL.
pub fn write(redis: &Redis, key: &str, later: i64) {
    raw(redis, "SET", key, &[&(clock(redis, key) + later).to_string()]);
}

/// In how many microseconds a bucket is full again.
pub fn left(redis: &Redis, key: &str) -> i64 {
    let at: i64 = raw(redis, "GET", key, &[]).text().unwrap().parse().unwrap();
    at - clock(redis, key)
}

/// Its TTL in microseconds, less the millisecond to which it is rounded up.
pub fn ttl(redis: &Redis, key: &str) -> i64 {
    (raw(redis, "PTTL", key, &[]).int().unwrap() - 1) * 1000
}

pub fn exists(redis: &Redis, key: &str) -> bool {
    raw(redis, "EXISTS", key, &[]).int() == Some(1)
}

pub fn dump(redis: &Redis, key: &str) -> Reply {
    raw(redis, "DUMP", key, &[])
}

/// Whether it is this, but for the time that has passed meanwhile.
#[track_caller]
pub fn assert_about(found: i64, expected: i64) {
    assert!((expected - SLACK..=expected).contains(&found), "{found} is not about {expected}");
}

#[track_caller]
pub fn assert_bad_value<T: Debug>(outcome: Result<T, Error>) {
    match outcome {
        Err(Error::Server(error)) if error.kind == ServerErrorKind::BadValue => {}
        other => panic!("expected BADVALUE, got {other:?}"),
    }
}

#[track_caller]
pub fn assert_invalid<T: Debug>(outcome: Result<T, Error>, as_what: &str) {
    match outcome {
        Err(Error::InvalidInput { what, .. }) if what == as_what => {}
        other => panic!("expected a bad {as_what}, got {other:?}"),
    }
}
