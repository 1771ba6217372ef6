//! What Redis last denied stays denied while it is away.

use super::*;

/// A limiter that has had something denied by Redis, which then went away.
async fn denied(key: &str, spent: u32, cost: u32) -> (FallbackRateLimiter, Redis, Own) {
    let (redis, server) = with_own().await;
    let limiter = limiter_on(&redis);
    assert!(by_redis(limiter.check(key, &EIGHT, spent).await).is_allowed());
    assert!(!by_redis(limiter.check(key, &EIGHT, cost).await).is_allowed());
    (limiter, redis, server)
}

#[tokio::test]
async fn what_redis_denied_is_denied_during_the_outage_until_redis_would_let_it_pass() {
    let (limiter, redis, server) = denied("k", 8, 2).await;
    kill(&server, &redis).await;
    for cost in [1, 2, 8] {
        let check = in_process(limiter.check("k", &EIGHT, cost).await);
        let Check::Denied { retry_after, remaining: 0, reset_after } = check else {
            panic!("{check:?}")
        };
        assert_about(retry_after, HOUR * cost);
        assert_about(reset_after, HOUR * 8);
    }
    assert!(in_process(limiter.check("another", &EIGHT, 8).await).is_allowed());
}

#[tokio::test]
async fn what_is_over_does_not_block() {
    let (redis, server) = with_own().await;
    let limiter = limiter_on(&redis);
    let quota = Quota::new(1, Duration::from_millis(300)).burst(2);
    assert!(by_redis(limiter.check("k", &quota, 2).await).is_allowed());
    let wait = wait_of(by_redis(limiter.check("k", &quota, 1).await));
    kill(&server, &redis).await;
    let began = std::time::Instant::now();
    while let check @ Check::Denied { .. } = in_process(limiter.check("k", &quota, 1).await) {
        assert!(wait_of(check) <= wait);
        assert!(began.elapsed() <= wait + SLACK);
        tokio::time::sleep(wait_of(check)).await;
    }
}

#[tokio::test]
async fn a_smaller_cost_that_redis_would_let_pass_is_left_to_the_share() {
    let (limiter, redis, server) = denied("k", 7, 2).await;
    kill(&server, &redis).await;
    for _ in 0..5 {
        assert_about(wait_of(in_process(limiter.check("k", &EIGHT, 2).await)), HOUR);
    }
    assert!(in_process(limiter.check("k", &EIGHT, 1).await).is_allowed());
}

#[tokio::test]
async fn what_redis_let_pass_later_does_not_bring_back_what_was_taken() {
    let (limiter, redis, server) = denied("k", 7, 2).await;
    assert!(by_redis(limiter.check("k", &EIGHT, 1).await).is_allowed());
    kill(&server, &redis).await;
    for cost in [8, 2, 1] {
        assert!(!in_process(limiter.check("k", &EIGHT, cost).await).is_allowed(), "{cost} of none");
    }
}

#[tokio::test]
async fn what_redis_let_pass_later_with_others_does_not_either() {
    let (redis, server) = with_own().await;
    let limiter = limiter_on(&redis);
    let limits = [("{k}a", EIGHT), ("{k}b", FOUR)];
    for (cost, allowed) in [(3, true), (2, false), (1, true)] {
        let check = by_redis(limiter.check_many(&limits, cost).await);
        assert_eq!(check.is_allowed(), allowed, "{cost}");
    }
    kill(&server, &redis).await;
    assert!(!in_process(limiter.check("{k}b", &FOUR, 4).await).is_allowed());
    assert!(in_process(limiter.check("{k}a", &EIGHT, 8).await).is_allowed(), "never denied");
}

#[tokio::test]
async fn what_was_reset_does_not_block() {
    let (limiter, redis, server) = denied("k", 8, 1).await;
    assert!(limiter.reset("k", &EIGHT).await.unwrap());
    kill(&server, &redis).await;
    assert!(in_process(limiter.check("k", &EIGHT, 8).await).is_allowed());
    let (limiter, redis, server) = denied("k", 8, 1).await;
    kill(&server, &redis).await;
    limiter.reset("k", &EIGHT).await.unwrap_err();
    assert!(in_process(limiter.check("k", &EIGHT, 8).await).is_allowed());
}

#[tokio::test]
async fn of_several_buckets_those_block_that_had_less() {
    let (redis, server) = with_own().await;
    let limiter = limiter_on(&redis);
    let limits = [("{k}a", EIGHT), ("{k}b", FOUR)];
    assert!(by_redis(limiter.check_many(&limits, 4).await).is_allowed());
    assert!(!by_redis(limiter.check_many(&limits, 1).await).is_allowed());
    kill(&server, &redis).await;
    let check = in_process(limiter.check_many(&limits, 1).await);
    let CheckMany::Denied { retry_after, by } = check else { panic!("{check:?}") };
    assert_eq!(by, [1]);
    assert_about(retry_after, HOUR);
    assert!(in_process(limiter.check("{k}a", &EIGHT, 8).await).is_allowed(), "nothing was taken");
}

#[tokio::test]
async fn a_share_that_waits_longer_is_told_before_what_redis_denied() {
    let (limiter, redis, server) = denied("k", 8, 1).await;
    let quarter = limiter_on(&redis).with_share(0.25).unwrap();
    assert!(!by_redis(quarter.check("k", &EIGHT, 1).await).is_allowed());
    kill(&server, &redis).await;
    drop(limiter);
    assert_eq!(wait_of(in_process(quarter.check("k", &EIGHT, 3).await)), HOUR * 4 * 3);
}

#[tokio::test]
async fn without_room_nothing_is_remembered() {
    let (redis, server) = with_own().await;
    let limiter = limiter_on(&redis).with_max_keys(0);
    assert!(by_redis(limiter.check("k", &EIGHT, 8).await).is_allowed());
    assert!(!by_redis(limiter.check("k", &EIGHT, 1).await).is_allowed());
    kill(&server, &redis).await;
    assert!(in_process(limiter.check("k", &EIGHT, 1).await).is_allowed());
}
