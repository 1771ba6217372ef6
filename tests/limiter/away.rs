//! While Redis is away this process decides, by its share.

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn a_share_of_the_burst_passes_and_a_share_of_the_rate_is_told() {
    let (limiter, _server) = away(0.25).await;
    for left in [1, 0] {
        let decision = limiter.check("k", &EIGHT, 1).await.unwrap();
        assert!(decision.error().is_some_and(Error::is_node_fault), "{decision:?}");
        assert!(decision.is_allowed());
        let Check::Allowed { remaining, reset_after } = decision.into_check() else { panic!() };
        assert_eq!(remaining, left);
        assert_about(reset_after, HOUR * 4 * (2 - left));
    }
    let decision = limiter.check("k", &EIGHT, 1).await;
    assert!(decision.as_ref().is_ok_and(|decision| !decision.is_allowed()));
    assert_about(wait_of(in_process(decision)), HOUR * 4);
    assert!(in_process(limiter.check("another", &EIGHT, 2).await).is_allowed());
    let clone = limiter.clone();
    assert!(!in_process(clone.check("another", &EIGHT, 1).await).is_allowed());
}

#[tokio::test]
async fn a_cost_over_the_share_is_denied_and_no_error() {
    let (limiter, _server) = away(0.25).await;
    for cost in [3, 8] {
        let wait = wait_of(in_process(limiter.check("k", &EIGHT, cost).await));
        assert_eq!(wait, HOUR * 4 * cost);
    }
    assert!(limiter.check("k", &EIGHT, 9).await.is_err(), "over the quota");
    assert!(in_process(limiter.check("k", &EIGHT, 2).await).is_allowed(), "nothing was taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_tasks_exactly_the_share_passes() {
    let (limiter, _server) = away(0.25).await;
    for round in 0..20 {
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let (limiter, key) = (limiter.clone(), format!("{{k}}{round}"));
            tasks.spawn(async move {
                match task % 2 {
                    0 => in_process(limiter.check(&key, &EIGHT, 1).await).is_allowed(),
                    _ => in_process(limiter.check_many(&[(key, EIGHT)], 1).await).is_allowed(),
                }
            });
        }
        let passed = tasks.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(passed, 2, "round {round}");
    }
}

#[tokio::test]
async fn it_fills_at_the_rate_of_its_share() {
    let (limiter, _server) = away(0.5).await;
    let quota = Quota::new(1, Duration::from_millis(25)).burst(4);
    let began = std::time::Instant::now();
    for _ in 0..6 {
        let check = in_process(limiter.check("k", &quota, 1).await);
        if let Check::Denied { retry_after, .. } = check {
            assert!(retry_after <= Duration::from_millis(50), "{retry_after:?}");
            // Time is what it waits for.
            tokio::time::sleep(retry_after).await;
            assert!(in_process(limiter.check("k", &quota, 1).await).is_allowed());
        }
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(4 * 50), "two at once and four more: {took:?}");
}

#[tokio::test]
async fn of_several_buckets_all_are_taken_from_or_none() {
    let (limiter, _server) = away(0.5).await;
    let limits = [("{k}a", EIGHT), ("{k}b", FOUR), ("{k}c", EIGHT)];
    let check = in_process(limiter.check_many(&limits, 1).await);
    let CheckMany::Allowed { remaining: 1, reset_after } = check else { panic!("{check:?}") };
    assert_about(reset_after, HOUR * 2);
    assert!(in_process(limiter.check("{k}a", &EIGHT, 3).await).is_allowed());
    for _ in 0..3 {
        let check = in_process(limiter.check_many(&limits, 2).await);
        let CheckMany::Denied { retry_after, by } = check else { panic!("{check:?}") };
        assert_eq!(by, [0, 1]);
        assert_about(retry_after, HOUR * 4);
    }
    for (key, quota, left) in [("{k}b", FOUR, 1), ("{k}c", EIGHT, 3)] {
        assert!(in_process(limiter.check(key, &quota, left).await).is_allowed(), "{key}");
        assert!(!in_process(limiter.check(key, &quota, 1).await).is_allowed(), "{key}");
    }
}

#[tokio::test]
async fn whoever_makes_up_keys_gains_one_shared_bucket() {
    let (limiter, _server) = away(0.25).await;
    let limiter = limiter.with_max_keys(10);
    assert!(in_process(limiter.check("known", &EIGHT, 1).await).is_allowed());
    let mut passed = 0;
    for at in 0..1000 {
        let check = in_process(limiter.check(&format!("made up {at}"), &EIGHT, 1).await);
        passed += usize::from(check.is_allowed());
    }
    assert_eq!(passed, 9 + 2, "those that fit, and a bucket for all others");
    assert!(in_process(limiter.check("known", &EIGHT, 1).await).is_allowed());
    assert!(in_process(limiter.check("new", &FOUR, 1).await).is_allowed(), "another quota");
    let all = [("{k}a", EIGHT), ("{k}b", EIGHT)];
    let none = limiter.with_max_keys(0);
    assert!(in_process(none.check_many(&all, 1).await).is_allowed(), "two of one bucket");
    assert!(!in_process(none.check("k", &EIGHT, 1).await).is_allowed());
}

#[tokio::test]
async fn what_several_keys_took_of_the_shared_bucket_is_given_back_whole() {
    let (limiter, _server) = away(0.25).await;
    let limiter = limiter.with_max_keys(0);
    let three = ["{k}a", "{k}b", "{k}c"].map(|key| (key, EIGHT));
    let check = in_process(limiter.check_many(&three, 1).await);
    assert!(matches!(check, CheckMany::Denied { by, .. } if by == [2]));
    assert!(in_process(limiter.check_many(&three[..2], 1).await).is_allowed());
}

#[tokio::test]
async fn bad_input_is_an_error_and_takes_nothing() {
    let (limiter, _server) = away(1.0).await;
    let invalid = |outcome: Result<bool, Error>| {
        assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
    };
    let allowed = |decision: Decision| decision.is_allowed();
    let none = Quota::per_hour(0);
    for (key, quota, cost) in
        [("", EIGHT, 1), ("a\nb", EIGHT, 1), ("k", none, 1), ("k", EIGHT, 0), ("k", EIGHT, 9)]
    {
        invalid(limiter.check(key, &quota, cost).await.map(allowed));
        let all = [("{k}", EIGHT), (key, quota)];
        invalid(limiter.check_many(&all, cost).await.map(|decision| decision.is_allowed()));
    }
    let twice = [("k", EIGHT), ("k", EIGHT)];
    invalid(limiter.check_many(&twice, 1).await.map(|decision| decision.is_allowed()));
    let nothing: [(&str, Quota); 0] = [];
    invalid(limiter.check_many(&nothing, 1).await.map(|decision| decision.is_allowed()));
    invalid(limiter.reset("", &EIGHT).await.map_err(|failed| failed.error));
    assert!(in_process(limiter.check("k", &EIGHT, 8).await).is_allowed());
    assert!(in_process(limiter.check("{k}", &EIGHT, 8).await).is_allowed());
}

#[tokio::test]
async fn a_reset_fills_the_bucket_of_this_process_and_is_an_error_all_the_same() {
    let (limiter, _server) = away(0.25).await;
    assert!(in_process(limiter.check("k", &EIGHT, 2).await).is_allowed());
    let outcome = limiter.reset("k", &EIGHT).await;
    let what = "the rate limit was not reset and may go on to deny";
    assert!(exposed(outcome, what, HOUR * 8).is_err_and(|error| error.is_node_fault()));
    assert!(in_process(limiter.check("k", &EIGHT, 2).await).is_allowed());
    assert!(!in_process(limiter.check("k", &EIGHT, 1).await).is_allowed());
}

#[tokio::test]
async fn redis_decides_again_as_soon_as_it_is_back_and_each_change_is_one_event() {
    let (log, _listening) = events();
    let (limiter, server) = away(0.25).await;
    for _ in 0..20 {
        let _check = in_process(limiter.check("k", &EIGHT, 1).await);
    }
    assert_eq!(log.count("redis is away"), 1, "{}", log.text());
    server.restart(Data::Lost);
    let back = async {
        while let Decision::InProcess { .. } = limiter.check("probe", &EIGHT, 1).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, back).await.unwrap();
    assert!(by_redis(limiter.check("k", &EIGHT, 8).await).is_allowed(), "the whole quota");
    assert_eq!(log.count("redis is back"), 1, "{}", log.text());
    assert_eq!(log.count("redis is away"), 1, "{}", log.text());
    // An outage soon after gives no second share.
    server.kill().unwrap();
    assert!(!in_process(limiter.check("k", &EIGHT, 1).await).is_allowed());
}
