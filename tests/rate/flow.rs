//! What passes in the course of time, and how many at once.

use std::time::Duration;

use auth_adapter_redis::rate::{Check, Quota};
use tokio::task::JoinSet;

use crate::support::until;
use crate::tools::*;

#[tokio::test]
async fn the_burst_passes_at_once_and_not_one_more() {
    let (limiter, _) = limiter().await;
    for left in (0..5).rev() {
        let outcome = limiter.check("k", &SLOW, 1).await.unwrap();
        assert!(matches!(outcome, Check::Allowed { remaining, .. } if remaining == left));
    }
    let outcome = limiter.check("k", &SLOW, 1).await.unwrap();
    assert!(matches!(outcome, Check::Denied { remaining: 0, .. }), "{outcome:?}");
    assert!(passes(&limiter, "another", 5).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_tasks_over_3_connections_exactly_the_burst_passes() {
    let (limiters, _) = three().await;
    let quota = Quota::per_hour(1).burst(20);
    for round in 0..20 {
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let (limiter, key) = (limiters[task % 3].clone(), format!("k{round}"));
            tasks.spawn(async move { limiter.check(&key, &quota, 1).await.unwrap() });
        }
        let passed = tasks.join_all().await.iter().filter(|check| check.is_allowed()).count();
        assert_eq!(passed, 20, "round {round}");
    }
}

/// The quotas have 20 and 30: 20 pass both, and the second loses no more than these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_tasks_with_two_quotas_exactly_the_stricters_burst_passes() {
    let (limiters, _) = three().await;
    let (strict, lax) = (Quota::per_hour(1).burst(20), Quota::per_hour(1).burst(30));
    for round in 0..20 {
        let keys = [format!("{{k{round}}}user"), format!("{{k{round}}}address")];
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let limiter = limiters[task % 3].clone();
            let limits = [(keys[0].clone(), strict), (keys[1].clone(), lax)];
            tasks.spawn(async move { limiter.check_many(&limits, 1).await.unwrap() });
        }
        let passed = tasks.join_all().await.iter().filter(|check| check.is_allowed()).count();
        assert_eq!(passed, 20, "round {round}");
        assert_eq!(limiters[0].peek(&keys[1], &lax).await.unwrap().remaining, 10);
    }
}

#[tokio::test]
async fn it_fills_at_its_rate_and_passes_when_it_said_it_would() {
    let (limiter, redis) = limiter().await;
    let quota = Quota::new(1, Duration::from_millis(20)).burst(2);
    let began = clock(&redis, "k");
    for _ in 0..10 {
        if let Check::Denied { retry_after, .. } = limiter.check("k", &quota, 1).await.unwrap() {
            assert!(retry_after <= Duration::from_millis(20), "{retry_after:?}");
            // Time is what it waits for.
            tokio::time::sleep(retry_after).await;
            assert!(limiter.check("k", &quota, 1).await.unwrap().is_allowed());
        }
    }
    let took = clock(&redis, "k") - began;
    assert!(took >= 8 * 20_000, "two at once and eight more: {took}");
}

#[tokio::test]
async fn a_bucket_that_is_full_again_is_gone() {
    let (limiter, redis) = limiter().await;
    let quota = Quota::new(1, Duration::from_millis(50));
    assert!(limiter.check("k", &quota, 1).await.unwrap().is_allowed());
    assert!(ttl(&redis, "k") <= 50_000);
    until(|| !exists(&redis, "k")).await;
    assert!(limiter.check("k", &quota, 1).await.unwrap().is_allowed());
}

/// As a clock leaves it that was a year ahead.
#[tokio::test]
async fn an_end_too_far_off_is_brought_near() {
    let (limiter, redis) = limiter().await;
    write(&redis, "k", 365 * 24 * HOUR);
    let outcome = limiter.check("k", &SLOW, 2).await.unwrap();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let emptied = Check::Denied { retry_after: hours(2), remaining: 0, reset_after: hours(5) };
    assert_eq!(outcome, emptied);
    assert_about(left(&redis, "k"), HORIZON);
    assert_about(ttl(&redis, "k"), HORIZON);
}

#[tokio::test]
async fn an_end_too_far_off_locks_nobody_out_for_longer_than_an_empty_bucket() {
    let (limiter, redis) = limiter().await;
    let quota = Quota::new(1, Duration::from_millis(20)).burst(2);
    for cost in [1, 2] {
        write(&redis, "k", 365 * 24 * HOUR);
        let outcome = limiter.check("k", &quota, cost).await.unwrap();
        let Check::Denied { retry_after, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(retry_after, Duration::from_millis(20) * cost);
        tokio::time::sleep(retry_after).await;
        assert!(limiter.check("k", &quota, cost).await.unwrap().is_allowed());
    }
}

#[tokio::test]
async fn a_quota_that_was_made_smaller_waits_no_longer_than_its_own_bucket() {
    let (limiter, _) = limiter().await;
    assert!(passes(&limiter, "k", 5).await);
    let smaller = Quota::new(1, Duration::from_millis(20)).burst(2);
    let outcome = limiter.check("k", &smaller, 1).await.unwrap();
    let Check::Denied { retry_after, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(retry_after, Duration::from_millis(20));
    tokio::time::sleep(retry_after).await;
    assert!(limiter.check("k", &smaller, 1).await.unwrap().is_allowed());
}

#[tokio::test]
async fn several_that_are_too_far_off_are_brought_near_where_another_denies() {
    let (limiter, redis) = limiter().await;
    assert!(passes(&limiter, "{k}spent", 5).await);
    write(&redis, "{k}far", 365 * 24 * HOUR);
    let before = dump(&redis, "{k}spent");
    let limits = [("{k}far", SLOW), ("{k}spent", SLOW), ("{k}full", SLOW)];
    assert!(!limiter.check_many(&limits, 1).await.unwrap().is_allowed());
    assert_about(left(&redis, "{k}far"), HORIZON);
    assert_eq!(dump(&redis, "{k}spent"), before);
    assert!(!exists(&redis, "{k}full"));
}
