//! While Redis answers it decides.

use super::*;

#[tokio::test]
async fn redis_decides_for_all_instances_by_the_whole_quota() {
    let redis = redis().await;
    let instances = [(); 4].map(|()| limiter_on(&redis).with_share(0.25).unwrap());
    for taken in 0..8 {
        let outcome = instances[taken % 4].check("k", &EIGHT, 1).await;
        assert!(outcome.as_ref().is_ok_and(|decision| decision.error().is_none()));
        assert!(outcome.as_ref().is_ok_and(|decision| decision.is_allowed()));
        let check = by_redis(outcome);
        assert!(matches!(check, Check::Allowed { remaining, .. } if remaining == 7 - taken as u32));
    }
    assert!(!by_redis(instances[0].check("k", &EIGHT, 1).await).is_allowed());
    let limits = [("{k}a", EIGHT), ("{k}b", FOUR)];
    assert!(by_redis(instances[1].check_many(&limits, 4).await).is_allowed());
    let denied = by_redis(instances[2].check_many(&limits, 1).await);
    assert!(matches!(denied, CheckMany::Denied { by, .. } if by == [1]));
    assert!(instances[3].reset("k", &EIGHT).await.unwrap());
    assert!(by_redis(instances[0].check("k", &EIGHT, 8).await).is_allowed());
}

#[tokio::test]
async fn bad_input_and_foreign_keys_are_errors_and_never_decided_here() {
    let redis = redis().await;
    let limiter = limiter_on(&redis);
    raw(&redis, "LPUSH", "list", &["x"]);
    raw(&redis, "SET", "word", &["x"]);
    for (key, kind) in [("list", ServerErrorKind::WrongType), ("word", ServerErrorKind::BadValue)] {
        let outcome = limiter.check(key, &EIGHT, 1).await;
        assert_eq!(outcome.unwrap_err().server_kind(), Some(kind), "{key}");
        let outcome = limiter.check_many(&[(key, EIGHT)], 1).await;
        assert_eq!(outcome.unwrap_err().server_kind(), Some(kind), "{key}");
        let failed = limiter.reset(key, &EIGHT).await.unwrap_err();
        assert_eq!(failed.error.server_kind(), Some(kind), "{key}");
    }
}

#[tokio::test]
async fn a_share_is_over_zero_and_at_most_one() {
    let limiter = limiter_on(&redis().await);
    for share in [0.0, -0.25, 1.01, f64::NAN, f64::INFINITY] {
        let outcome = limiter.clone().with_share(share);
        assert!(matches!(outcome, Err(Error::InvalidInput { what: "share", .. })), "{share}");
    }
    assert!(limiter.with_share(1.0).is_ok());
}
