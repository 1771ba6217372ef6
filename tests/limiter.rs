//! Rate limits while Redis is away: on a real server that is killed, silenced and started again.

#[path = "limiter/away.rs"]
mod away;
#[path = "limiter/blocked.rs"]
mod blocked;
#[path = "limiter/sound.rs"]
mod sound;
mod support;
#[path = "limiter/unsound.rs"]
mod unsound;

use std::time::Duration;

use auth_adapter_redis::limiter::Decision;
use auth_adapter_redis::rate::{Check, CheckMany, Quota};
use auth_adapter_redis::testing::Data;
use auth_adapter_redis::{Error, FallbackRateLimiter, RateLimiter, Redis, ServerErrorKind};
use support::target::{Own, own, own_behind_proxy};
use support::{
    HANG, comes_alive, events, exposed, full_server, quick, raw, redis, redis_on, until,
};

const DEADLINE: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);
/// Nothing flows back while a test runs.
const EIGHT: Quota = Quota::per_hour(1).burst(8);
const FOUR: Quota = Quota::per_hour(1).burst(4);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(10);

fn limiter_on(redis: &Redis) -> FallbackRateLimiter {
    FallbackRateLimiter::new(RateLimiter::new(redis.clone()))
}

/// A handle with a short deadline.
async fn with_own() -> (Redis, Own) {
    let server = own();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    (redis, server)
}

/// Kills the server, and waits until the handle knows.
async fn kill(server: &Own, redis: &Redis) {
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    let down = async { while redis.ping().await.is_ok() {} };
    tokio::time::timeout(HANG, down).await.unwrap();
}

/// A limiter with this share, which knows that its server is gone.
async fn away(share: f64) -> (FallbackRateLimiter, Own) {
    let (redis, server) = with_own().await;
    kill(&server, &redis).await;
    (limiter_on(&redis).with_share(share).unwrap(), server)
}

/// What Redis decides.
#[track_caller]
fn by_redis<C: std::fmt::Debug>(decision: Result<Decision<C>, Error>) -> C {
    match decision {
        Ok(Decision::Redis(check)) => check,
        other => panic!("Redis did not decide: {other:?}"),
    }
}

/// What this process decides.
#[track_caller]
fn in_process<C: std::fmt::Debug>(decision: Result<Decision<C>, Error>) -> C {
    match decision {
        Ok(Decision::InProcess { check, .. }) => check,
        other => panic!("this process did not decide: {other:?}"),
    }
}

/// For how long a denial says to wait.
#[track_caller]
fn wait_of(check: Check) -> Duration {
    let Check::Denied { retry_after, .. } = check else { panic!("{check:?}") };
    retry_after
}

#[track_caller]
fn assert_about(found: Duration, expected: Duration) {
    assert!(found <= expected && found + SLACK >= expected, "{found:?}, not about {expected:?}");
}
