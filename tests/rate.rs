//! Rate limits on a real server: what passes, what is denied, and what neither touches.

#[path = "rate/exact.rs"]
mod exact;
#[path = "rate/flow.rs"]
mod flow;
mod support;
#[path = "rate/tools.rs"]
mod tools;

use std::time::Duration;

use auth_adapter_redis::rate::{Check, CheckMany, Level, Quota};
use auth_adapter_redis::{Error, RateLimiter, Redis, ServerErrorKind};
use support::target::{self, Kind, own};
use support::{assert_server, full_server, raw, raw_on, redis_on, script, set};
use tools::*;

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

mod check {
    use super::*;

    async fn run(redis: &Redis, cost: i64) -> Result<i64, Error> {
        let call = script("rate/check").call(redis).key("bucket", "k");
        call.arg("spend", cost * HOUR).arg("horizon", HORIZON).run().await
    }

    #[tokio::test]
    async fn gives_allowed_and_keeps_when_the_bucket_is_full_again() {
        let (limiter, redis) = limiter().await;
        assert_eq!(run(&redis, 1).await.unwrap(), HOUR);
        assert_about(run(&redis, 2).await.unwrap(), 3 * HOUR);
        assert_about(left(&redis, "k"), 3 * HOUR);
        assert_about(ttl(&redis, "k"), 3 * HOUR);
        let outcome = limiter.check("k", &SLOW, 1).await.unwrap();
        let Check::Allowed { remaining: 1, reset_after } = outcome else { panic!("{outcome:?}") };
        assert_about(reset_after.as_micros() as i64, 4 * HOUR);
    }

    #[tokio::test]
    async fn gives_denied_and_takes_nothing() {
        let (limiter, redis) = limiter().await;
        run(&redis, 4).await.unwrap();
        let before = dump(&redis, "k");
        assert_about(-run(&redis, 3).await.unwrap(), 2 * HOUR);
        let outcome = limiter.check("k", &SLOW, 3).await.unwrap();
        let Check::Denied { retry_after, remaining: 1, reset_after } = outcome else {
            panic!("{outcome:?}")
        };
        assert_about(retry_after.as_micros() as i64, 2 * HOUR);
        assert_eq!(reset_after - retry_after, hours(2));
        assert_eq!(dump(&redis, "k"), before);
        assert!(passes(&limiter, "k", 1).await, "what is left");
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (limiter, redis) = limiter().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        assert_server(limiter.check("k", &SLOW, 1).await, ServerErrorKind::WrongType);
        assert_eq!(raw(&redis, "LLEN", "k", &[]).int(), Some(1));
    }

    #[tokio::test]
    async fn fails_badvalue_and_leaves_the_key_alone() {
        let (limiter, redis) = limiter().await;
        for foreign in FOREIGN {
            raw(&redis, "SET", "k", &[foreign]);
            assert_bad_value(limiter.check("k", &SLOW, 1).await);
            assert_eq!(raw(&redis, "GET", "k", &[]).text(), Some(foreign));
        }
    }

    #[tokio::test]
    async fn fails_oom_on_a_full_server_which_is_no_denial() {
        let server = full_server();
        let redis = redis_on(&server).await;
        let outcome = RateLimiter::new(redis.clone()).check("k", &SLOW, 1).await;
        assert_server(outcome, ServerErrorKind::OutOfMemory);
        assert_eq!(raw_on(&server, &redis, "EXISTS", "k", &[]).int(), Some(0));
    }

    #[tokio::test]
    async fn a_full_server_still_denies_what_would_not_pass() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        assert!(passes(&limiter, "k", 5).await);
        set(&server, "maxmemory", "1024");
        assert!(!passes(&limiter, "k", 1).await);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_an_error_and_no_denial() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        assert!(passes(&limiter, "k", 5).await);
        server.kill().unwrap();
        let error = limiter.check("k", &SLOW, 1).await.unwrap_err();
        assert!(error.is_node_fault(), "{error:?}");
    }

    #[tokio::test]
    async fn bad_input_is_refused_before_anything_is_sent() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        for key in ["", "a\nb", &"k".repeat(2049)] {
            assert_invalid(limiter.check(key, &SLOW, 1).await, "key");
            assert_invalid(limiter.peek(key, &SLOW).await, "key");
            assert_invalid(not_reset(limiter.reset(key, &SLOW).await, hours(5)), "key");
        }
        let micros = Duration::from_micros;
        for quota in [
            Quota::per_second(0),
            Quota::per_second(1).burst(0),
            Quota::new(1, Duration::ZERO),
            Quota::new(1, Duration::from_nanos(999)),
            Quota::per_second(1_000_001),
            Quota::new(1, micros(1 << 51)),
            Quota::new(1, micros(1 << 31)).burst(1 << 20),
            Quota::new(1, Duration::MAX).burst(u32::MAX),
        ] {
            assert_invalid(limiter.check("k", &quota, 1).await, "quota");
            assert_invalid(limiter.peek("k", &quota).await, "quota");
            let longest = micros(1 << 51);
            assert_invalid(not_reset(limiter.reset("k", &quota).await, longest), "quota");
        }
        for cost in [0, 6, u32::MAX] {
            assert_invalid(limiter.check("k", &SLOW, cost).await, "cost");
        }
        assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
        for quota in [Quota::per_second(1_000_000), Quota::new(1, micros((1 << 51) - 1))] {
            assert!(limiter.check("k", &quota, 1).await.is_ok(), "{quota:?}");
        }
    }
}

mod check_many {
    use super::*;

    const LIMITS: [(&str, Quota); 3] = [
        ("{k}user", SLOW),
        ("{k}address", Quota::per_hour(2).burst(20)),
        ("{k}all", Quota::per_hour(1).burst(30)),
    ];

    async fn run(redis: &Redis, cost: i64) -> Result<Vec<i64>, Error> {
        let script = script("rate/check_many");
        let call = script.call_many(redis, 3).keys("bucket", LIMITS.map(|(key, _)| key));
        let (slow, fast) = (cost * HOUR, cost * HOUR / 2);
        let quotas = [slow, HORIZON, fast, 10 * HOUR, slow, 30 * HOUR];
        call.args("quota", quotas).run().await
    }

    #[tokio::test]
    async fn gives_allowed_and_takes_from_each() {
        let (limiter, redis) = limiter().await;
        assert_eq!(run(&redis, 2).await.unwrap(), [2 * HOUR, HOUR, 2 * HOUR]);
        let outcome = limiter.check_many(&LIMITS, 2).await.unwrap();
        let CheckMany::Allowed { remaining: 1, reset_after } = outcome else {
            panic!("{outcome:?}")
        };
        assert_about(reset_after.as_micros() as i64, 4 * HOUR);
        for ((key, quota), remaining) in LIMITS.iter().zip([1, 16, 26]) {
            assert_eq!(limiter.peek(key, quota).await.unwrap().remaining, remaining, "{key}");
        }
    }

    #[tokio::test]
    async fn gives_denied_where_the_strictest_has_less_and_takes_from_none() {
        let (limiter, redis) = limiter().await;
        run(&redis, 4).await.unwrap();
        let dumps = || LIMITS.map(|(key, _)| dump(&redis, key));
        let before = dumps();
        let told = run(&redis, 3).await.unwrap();
        assert_about(-told[0], 2 * HOUR);
        assert!(told[1] > 0 && told[2] > 0, "{told:?}");
        let outcome = limiter.check_many(&LIMITS, 3).await.unwrap();
        let CheckMany::Denied { retry_after, by } = outcome else { panic!("{outcome:?}") };
        assert_about(retry_after.as_micros() as i64, 2 * HOUR);
        assert_eq!(by, [0]);
        assert_eq!(dumps(), before);
    }

    #[tokio::test]
    async fn a_denial_names_all_that_had_less_and_the_longest_wait() {
        let (limiter, _) = limiter().await;
        for (key, quota, cost) in [("{k}user", LIMITS[0].1, 5), ("{k}all", LIMITS[2].1, 28)] {
            assert!(limiter.check(key, &quota, cost).await.unwrap().is_allowed());
        }
        let outcome = limiter.check_many(&LIMITS, 3).await.unwrap();
        let CheckMany::Denied { retry_after, by } = outcome else { panic!("{outcome:?}") };
        assert_about(retry_after.as_micros() as i64, 3 * HOUR);
        assert_eq!(by, [0, 2]);
    }

    #[tokio::test]
    async fn fails_wrongtype_before_it_takes_from_any() {
        let (limiter, redis) = limiter().await;
        raw(&redis, "LPUSH", "{k}all", &["x"]);
        assert_server(limiter.check_many(&LIMITS, 1).await, ServerErrorKind::WrongType);
        assert!(!exists(&redis, "{k}user") && !exists(&redis, "{k}address"));
    }

    #[tokio::test]
    async fn fails_badvalue_before_it_takes_from_any() {
        let (limiter, redis) = limiter().await;
        for foreign in FOREIGN {
            raw(&redis, "SET", "{k}all", &[foreign]);
            assert_bad_value(limiter.check_many(&LIMITS, 1).await);
            assert!(!exists(&redis, "{k}user") && !exists(&redis, "{k}address"));
        }
    }

    #[tokio::test]
    async fn fails_oom_on_a_full_server_and_takes_from_none() {
        let server = full_server();
        let redis = redis_on(&server).await;
        let outcome = RateLimiter::new(redis.clone()).check_many(&LIMITS, 1).await;
        assert_server(outcome, ServerErrorKind::OutOfMemory);
        for (key, _) in LIMITS {
            assert_eq!(raw_on(&server, &redis, "EXISTS", key, &[]).int(), Some(0), "{key}");
        }
    }

    #[tokio::test]
    async fn keys_of_several_slots_are_refused_on_a_cluster_before_anything_is_sent() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        let outcome = limiter.check_many(&[("a", SLOW), ("b", SLOW)], 1).await;
        if let Kind::Cluster = target::kind() {
            assert!(matches!(outcome, Err(Error::CrossSlot { .. })), "{outcome:?}");
            assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
        } else {
            assert!(outcome.unwrap().is_allowed());
        }
    }

    #[tokio::test]
    async fn a_hundred_pass_together_and_bad_input_is_refused_before_anything_is_sent() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        let many = |count| (0..count).map(|at| (format!("{{k}}{at}"), SLOW)).collect::<Vec<_>>();
        assert_invalid(limiter.check_many::<&str>(&[], 1).await, "quotas");
        assert_invalid(limiter.check_many(&many(101), 1).await, "quotas");
        assert_invalid(limiter.check_many(&[("{k}", SLOW), ("", SLOW)], 1).await, "key");
        assert_invalid(limiter.check_many(&[("{k}", SLOW), ("{k}", SLOW)], 1).await, "keys");
        let refused = [LIMITS[1], ("{k}none", Quota::per_hour(0))];
        assert_invalid(limiter.check_many(&refused, 1).await, "quota");
        for cost in [0, 6] {
            assert_invalid(limiter.check_many(&LIMITS, cost).await, "cost");
        }
        assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
        assert!(limiter.check_many(&many(100), 5).await.unwrap().is_allowed());
        let denied = limiter.check_many(&many(100), 1).await.unwrap();
        assert!(matches!(denied, CheckMany::Denied { by, .. } if by.iter().copied().eq(0..100)));
    }
}

mod peek {
    use super::*;

    async fn run(redis: &Redis) -> Result<i64, Error> {
        let call = script("rate/peek").call(redis).key("bucket", "k");
        call.arg("horizon", HORIZON).run().await
    }

    #[tokio::test]
    async fn gives_0_where_it_is_full() {
        let (limiter, redis) = limiter().await;
        assert_eq!(run(&redis).await.unwrap(), 0);
        write(&redis, "k", -HOUR);
        assert_eq!(run(&redis).await.unwrap(), 0);
        let Level { remaining, reset_after, .. } = limiter.peek("k", &SLOW).await.unwrap();
        assert_eq!((remaining, reset_after), (5, Duration::ZERO));
    }

    #[tokio::test]
    async fn gives_left_where_something_was_taken() {
        let (limiter, redis) = limiter().await;
        assert!(passes(&limiter, "k", 3).await);
        assert_about(run(&redis).await.unwrap(), 3 * HOUR);
        let level = limiter.peek("k", &SLOW).await.unwrap();
        assert_eq!(level.remaining, 2);
        assert_about(level.reset_after.as_micros() as i64, 3 * HOUR);
    }

    #[tokio::test]
    async fn an_end_too_far_off_is_an_empty_bucket_and_stays() {
        let (limiter, redis) = limiter().await;
        write(&redis, "k", 365 * 24 * HOUR);
        let before = (dump(&redis, "k"), ttl(&redis, "k"));
        let level = limiter.peek("k", &SLOW).await.unwrap();
        assert_eq!((level.remaining, level.reset_after), (0, hours(5)));
        assert_eq!((dump(&redis, "k"), ttl(&redis, "k")), before);
    }

    #[tokio::test]
    async fn it_changes_nothing() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        assert!(passes(&limiter, "k", 3).await);
        let dirty = || server.info_field("persistence", "rdb_changes_since_last_save").unwrap();
        let dump = || server.command(&["DUMP", "k"]).unwrap();
        let before = (dirty(), dump());
        limiter.peek("k", &SLOW).await.unwrap();
        limiter.peek("another", &SLOW).await.unwrap();
        assert_eq!((dirty(), dump()), before);
        set(&server, "maxmemory", "1024");
        assert_eq!(limiter.peek("k", &SLOW).await.unwrap().remaining, 2, "on a full server");
    }

    #[tokio::test]
    async fn fails_wrongtype_where_the_key_holds_no_string() {
        let (limiter, redis) = limiter().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        assert_server(limiter.peek("k", &SLOW).await, ServerErrorKind::WrongType);
    }

    #[tokio::test]
    async fn fails_badvalue_where_it_holds_another() {
        let (limiter, redis) = limiter().await;
        for foreign in FOREIGN {
            raw(&redis, "SET", "k", &[foreign]);
            assert_bad_value(limiter.peek("k", &SLOW).await);
        }
    }
}

mod reset {
    use super::*;

    async fn run(redis: &Redis) -> Result<i64, Error> {
        script("rate/reset").call(redis).key("bucket", "k").run().await
    }

    #[tokio::test]
    async fn gives_1_and_the_whole_burst_passes_again() {
        let (limiter, redis) = limiter().await;
        assert!(passes(&limiter, "k", 5).await);
        assert_eq!(run(&redis).await.unwrap(), 1);
        assert!(passes(&limiter, "k", 5).await);
        assert!(limiter.reset("k", &SLOW).await.unwrap());
        assert!(!exists(&redis, "k"));
    }

    #[tokio::test]
    async fn gives_0_where_it_was_full() {
        let (limiter, redis) = limiter().await;
        assert_eq!(run(&redis).await.unwrap(), 0);
        assert!(!limiter.reset("k", &SLOW).await.unwrap());
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (limiter, redis) = limiter().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        let outcome = not_reset(limiter.reset("k", &SLOW).await, hours(5));
        assert_server(outcome, ServerErrorKind::WrongType);
        assert_eq!(raw(&redis, "LLEN", "k", &[]).int(), Some(1));
    }

    #[tokio::test]
    async fn fails_badvalue_and_leaves_the_key_alone() {
        let (limiter, redis) = limiter().await;
        for foreign in FOREIGN {
            raw(&redis, "SET", "k", &[foreign]);
            assert_bad_value(not_reset(limiter.reset("k", &SLOW).await, hours(5)));
            assert_eq!(raw(&redis, "GET", "k", &[]).text(), Some(foreign));
        }
    }

    #[tokio::test]
    async fn one_that_never_came_says_for_how_long_the_bucket_can_deny() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        server.kill().unwrap();
        for (quota, fills_in) in [(SLOW, hours(5)), (Quota::per_minute(5).burst(10), hours(1) / 30)]
        {
            let error = not_reset(limiter.reset("k", &quota).await, fills_in).unwrap_err();
            assert!(error.is_node_fault(), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_full_server_still_resets() {
        let server = own();
        let limiter = RateLimiter::new(redis_on(&server).await);
        assert!(passes(&limiter, "k", 5).await);
        set(&server, "maxmemory", "1024");
        assert!(limiter.reset("k", &SLOW).await.unwrap());
    }
}
