//! Strings on a real server that a holder writes no more once its lock has gone on.

mod support;

use std::time::Duration;

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::{AcquireFenced, Leases, Steal};
use auth_adapter_redis::{Error, Fence, FencedStrings, LockGuard, Locks, Redis, ServerErrorKind};
use support::target::own;
use support::{LONG, assert_server, full_server, raw, raw_on, redis, redis_on, script};

async fn strings() -> (FencedStrings, Redis) {
    let redis = redis().await;
    (FencedStrings::new(redis.clone()), redis)
}

fn fence(number: u64) -> Fence {
    Fence::from_u64(number).unwrap()
}

fn value(redis: &Redis) -> Option<String> {
    raw(redis, "GET", "k", &[]).text().map(str::to_owned)
}

/// The record of `k`, which a handle's prefix is a part of.
fn record(redis: &Redis) -> String {
    format!("{{{}k}}:fenced", redis.prefix())
}

/// The words of one call, which can be sent again.
async fn run(redis: &Redis, value: &str, fence: u64, order: u64) -> Result<i64, Error> {
    let call = script("fence/check_and_set").call(redis);
    let call = call.key("resource", "k").key("record", &record(redis));
    call.arg("value", value).arg("fence", fence).arg("order", order).run().await
}

mod check_and_set {
    use super::*;

    #[tokio::test]
    async fn gives_0_and_sets_for_the_same_fence_and_for_a_newer_one() {
        let (strings, redis) = strings().await;
        assert_eq!(run(&redis, "a", 5, 1).await.unwrap(), 0);
        assert_eq!(run(&redis, "b", 5, 2).await.unwrap(), 0);
        assert_eq!(value(&redis).as_deref(), Some("b"));
        // Another holder, whose clock is behind.
        assert_eq!(run(&redis, "c", 6, 1).await.unwrap(), 0);
        assert_eq!(value(&redis).as_deref(), Some("c"));
        for text in ["d", "", "e"] {
            let outcome = strings.check_and_set("k", text, fence(6)).await.unwrap();
            assert_eq!((outcome, value(&redis).as_deref()), (CheckAndSet::Set, Some(text)));
        }
        for key in ["k", &record(&redis)] {
            assert_eq!(raw(&redis, "PTTL", key, &[]).int(), Some(-1), "{key} stays");
        }
    }

    #[tokio::test]
    async fn gives_newest_to_an_older_fence_and_leaves_the_string_alone() {
        let (strings, redis) = strings().await;
        // Numbers of this size are those of real fences, and differ in their last digit.
        let newest = 1_790_000_000_000_001;
        assert_eq!(run(&redis, "new", newest, 1).await.unwrap(), 0);
        assert_eq!(run(&redis, "old", newest - 1, 2).await.unwrap(), newest as i64);
        let outcome = strings.check_and_set("k", "old", fence(newest - 1)).await.unwrap();
        assert_eq!(outcome, CheckAndSet::Refused { newest: fence(newest) });
        assert_eq!(value(&redis).as_deref(), Some("new"));
    }

    #[tokio::test]
    async fn gives_minus_1_to_a_call_that_a_later_one_of_its_holder_has_overtaken() {
        let (strings, redis) = strings().await;
        assert_eq!(run(&redis, "first", 5, 1).await.unwrap(), 0);
        assert_eq!(run(&redis, "second", 5, 2).await.unwrap(), 0);
        // The first once more, as a call that was resent.
        assert_eq!(run(&redis, "first", 5, 1).await.unwrap(), -1);
        assert_eq!(value(&redis).as_deref(), Some("second"));
        assert_eq!(run(&redis, "far", 5, 1 << 52).await.unwrap(), 0);
        let outcome = strings.check_and_set("k", "near", fence(5)).await.unwrap();
        assert_eq!(outcome, CheckAndSet::Overtaken);
        assert_eq!(value(&redis).as_deref(), Some("far"));
    }

    #[tokio::test]
    async fn a_call_that_is_executed_twice_says_the_same() {
        let redis = redis().await;
        for _ in 0..2 {
            assert_eq!(run(&redis, "a", 5, 1).await.unwrap(), 0);
            assert_eq!(value(&redis).as_deref(), Some("a"));
        }
        for _ in 0..2 {
            assert_eq!(run(&redis, "b", 4, 9).await.unwrap(), 5);
        }
    }

    #[tokio::test]
    async fn fails_wrongtype_where_the_record_holds_no_string_and_sets_nothing() {
        let (strings, redis) = strings().await;
        raw(&redis, "LPUSH", &record(&redis), &["x"]);
        let outcome = strings.check_and_set("k", "v", fence(5)).await;
        assert_server(outcome, ServerErrorKind::WrongType);
        assert_eq!(value(&redis), None);
    }

    #[tokio::test]
    async fn fails_badvalue_where_the_record_is_something_else() {
        let (strings, redis) = strings().await;
        for foreign in ["", "7", "7:", "x:1"] {
            raw(&redis, "SET", &record(&redis), &[foreign]);
            let error = strings.check_and_set("k", "v", fence(5)).await.unwrap_err().to_string();
            assert!(error.contains("BADVALUE"), "{foreign}: {error}");
            assert_eq!(value(&redis), None);
        }
    }

    #[tokio::test]
    async fn fails_oom_on_a_full_server_and_leaves_nothing() {
        let server = full_server();
        let redis = redis_on(&server).await;
        let outcome = FencedStrings::new(redis.clone()).check_and_set("k", "v", fence(5)).await;
        assert_server(outcome, ServerErrorKind::OutOfMemory);
        for key in ["k", &record(&redis)] {
            assert_eq!(raw_on(&server, &redis, "EXISTS", key, &[]).int(), Some(0));
        }
    }

    #[tokio::test]
    async fn whatever_was_at_the_key_becomes_the_string() {
        let (strings, redis) = strings().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        let outcome = strings.check_and_set("k", "v", fence(5)).await.unwrap();
        assert_eq!((outcome, value(&redis).as_deref()), (CheckAndSet::Set, Some("v")));
    }

    #[tokio::test]
    async fn bad_input_is_refused_before_anything_is_sent() {
        let server = own();
        let strings = FencedStrings::new(redis_on(&server).await);
        for key in ["", "a\nb"] {
            let outcome = strings.check_and_set(key, "v", fence(5)).await;
            assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
        }
        for number in [0, 1 << 53, u64::MAX] {
            let outcome = Fence::from_u64(number);
            assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
        }
        assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
    }

    #[tokio::test]
    async fn any_key_has_its_record_in_its_slot() {
        let (strings, _) = strings().await;
        for key in ["{42}:report", "report", "a}b", "{}"] {
            let outcome = strings.check_and_set(key, "v", fence(5)).await;
            assert_eq!(outcome.unwrap(), CheckAndSet::Set, "{key}");
        }
    }
}

async fn taken(locks: &Locks) -> LockGuard {
    match locks.try_acquire("lock", LONG).await.unwrap() {
        Acquisition::Acquired(guard) => guard,
        held @ Acquisition::Held { .. } => panic!("expected the lock, got {held:?}"),
    }
}

/// The case that no lock can rule out by itself: its holder believes in it, and the server has given it
/// to another.
#[tokio::test]
async fn a_holder_whose_lock_went_on_without_its_knowledge_writes_nothing() {
    let (strings, redis) = strings().await;
    let locks = Locks::new(redis.clone()).with_fencing();
    let old = taken(&locks).await;
    let write = async |guard: &LockGuard, text: &str| {
        strings.check_and_set("k", text, guard.fence().unwrap()).await.unwrap()
    };
    assert_eq!(write(&old, "from the old").await, CheckAndSet::Set);
    raw(&redis, "DEL", "lock", &[]);
    let new = taken(&locks).await;
    // Until the new holder has written, nothing is there to be spoilt.
    assert_eq!(write(&old, "still the old").await, CheckAndSet::Set);
    assert_eq!(write(&new, "from the new").await, CheckAndSet::Set);
    assert!(!old.is_lost(), "it believes in its hold");
    let newest = new.fence().unwrap();
    assert_eq!(write(&old, "too late").await, CheckAndSet::Refused { newest });
    assert_eq!(value(&redis).as_deref(), Some("from the new"));
}

#[tokio::test]
async fn a_holder_that_was_stolen_from_writes_nothing_after_the_thief() {
    let (strings, redis) = strings().await;
    let locks = Locks::new(redis.clone()).with_fencing();
    let old = taken(&locks).await;
    let operator = Leases::new(redis.clone()).with_owner("operator").unwrap();
    let seen = operator.inspect("lock").await.unwrap().unwrap();
    assert_eq!(seen.fence, old.fence());
    let stolen = operator.steal("lock", &seen, LONG).await.unwrap();
    let Steal::Stolen { token, fence } = stolen else { panic!("{stolen:?}") };
    // Whoever lost the answer finds the hold by its token.
    let again = operator.retry_acquire_fenced("lock", token, LONG).await.unwrap();
    let AcquireFenced::Acquired { fence: found, .. } = again else { panic!("{again:?}") };
    assert_eq!(found, fence);
    assert!(!old.is_lost() && old.remaining() > LONG - Duration::from_secs(5));
    let outcome = strings.check_and_set("k", "mended", fence).await.unwrap();
    assert_eq!(outcome, CheckAndSet::Set);
    let outcome = strings.check_and_set("k", "spoilt", old.fence().unwrap()).await.unwrap();
    assert_eq!(outcome, CheckAndSet::Refused { newest: fence });
    // And it learns of it when it asks.
    assert_eq!(old.extend(LONG).await.unwrap(), auth_adapter_redis::lock::Extend::NotOurs);
    assert!(old.is_lost());
}
