//! Every answer, held against integer arithmetic of unbounded size between two readings of the
//! server's clock.

use std::time::Duration;

use auth_adapter_redis::rate::{Check, Quota};
use auth_adapter_redis::{RateLimiter, Redis};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use crate::support::redis;
use crate::tools::clock;

/// A quota of which something flows back between two calls, and the costs that are asked for.
#[derive(Debug, Clone)]
struct Case {
    count: u32,
    period: Duration,
    burst: u32,
    costs: Vec<u32>,
}

fn cases() -> impl Strategy<Value = Case> {
    // One takes from a microsecond to two milliseconds, in most cases no whole number of them.
    let rate = (1..3000_u32, 1_000..2_000_000_u64);
    (rate, 1..40_u32).prop_flat_map(|((count, nanos), burst)| {
        let period = Duration::from_nanos(u64::from(count) * nanos + nanos % u64::from(count));
        let costs = prop::collection::vec(1..=burst, 1..30);
        costs.prop_map(move |costs| Case { count, period, burst, costs })
    })
}

/// What passed, and the readings of the clock before and after.
struct Passed {
    cost: u32,
    before: i64,
    after: i64,
}

#[test]
fn never_more_passes_than_the_quota_and_never_less_than_whole_microseconds_allow() {
    let runtime = Runtime::new().unwrap();
    let redis = runtime.block_on(redis());
    let number = std::cell::Cell::new(0);
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&cases(), |case| {
        number.set(number.get() + 1);
        runtime.block_on(holds(&redis, &format!("k{}", number.get()), &case))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

async fn holds(redis: &Redis, key: &str, case: &Case) -> Result<(), TestCaseError> {
    let limiter = RateLimiter::new(redis.clone());
    let quota = Quota::new(case.count, case.period).burst(case.burst);
    let mut model = Model::new(case);
    let mut passed = Vec::new();
    let mut before = clock(redis, key);
    for &cost in &case.costs {
        let check = limiter.check(key, &quota, cost).await.unwrap();
        let after = clock(redis, key);
        model.explain(cost, check, before, after)?;
        if check.is_allowed() {
            passed.push(Passed { cost, before, after });
        }
        before = after;
    }
    keeps_the_quota(case, &passed)
}

/// Between any two that passed there passed no more than the burst and what flowed back meanwhile,
/// of which no fraction is rounded.
fn keeps_the_quota(case: &Case, passed: &[Passed]) -> Result<(), TestCaseError> {
    let period = case.period.as_nanos();
    for first in 0..passed.len() {
        let mut sum = 0;
        for last in &passed[first..] {
            sum += u128::from(last.cost);
            let nanos = u128::try_from(last.after - passed[first].before).unwrap() * 1000;
            let most = u128::from(case.burst) * period + nanos * u128::from(case.count);
            prop_assert!(sum * period <= most, "{sum} passed in {nanos} ns");
        }
    }
    Ok(())
}

/// When the bucket is full again, at the earliest and at the latest.
struct Model {
    interval: i64,
    horizon: i64,
    earliest: i64,
    latest: i64,
}

impl Model {
    fn new(case: &Case) -> Self {
        // The least whole number of microseconds that is no faster.
        let mut interval = case.period.as_nanos() / (u128::from(case.count) * 1000);
        while interval * u128::from(case.count) * 1000 < case.period.as_nanos() {
            interval += 1;
        }
        let interval = i64::try_from(interval).unwrap();
        Self { interval, horizon: interval * i64::from(case.burst), earliest: 0, latest: 0 }
    }

    /// Whether an answer is right for an instant between these.
    fn explain(
        &mut self,
        cost: u32,
        check: Check,
        before: i64,
        after: i64,
    ) -> Result<(), TestCaseError> {
        let spend = self.interval * i64::from(cost);
        // In how much time it would be full again once this is taken.
        let least = (self.earliest - after).max(0) + spend;
        let most = (self.latest - before).max(0) + spend;
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap();
        let (refill, remaining) = match check {
            Check::Allowed { remaining, reset_after } => {
                prop_assert!(least <= self.horizon, "allowed, and full in {least} at least");
                let refill = micros(reset_after);
                prop_assert!((least..=most).contains(&refill), "full in {refill}");
                self.earliest = self.earliest.max(before) + spend;
                self.latest = self.latest.max(after) + spend;
                (refill, remaining)
            }
            Check::Denied { retry_after, remaining, reset_after } => {
                prop_assert!(most > self.horizon, "denied, and full in {most} at most");
                let wait = micros(retry_after);
                let bounds = least - self.horizon..=most - self.horizon;
                prop_assert!(wait > 0 && bounds.contains(&wait), "a wait of {wait}");
                prop_assert!(remaining < cost);
                prop_assert_eq!(micros(reset_after), wait + self.horizon - spend);
                (micros(reset_after), remaining)
            }
        };
        prop_assert_eq!(i64::from(remaining), (self.horizon - refill) / self.interval);
        Ok(())
    }
}
