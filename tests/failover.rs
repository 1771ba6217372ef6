//! A primary dies by `kill -9` under load: once with Sentinels and once in a cluster, with the load and
//! the checks of the benchmark `failover`, which does it many times.

#[path = "../benches/failover/run/mod.rs"]
mod run;

use std::time::Duration;

use auth_adapter_redis::Error;
use auth_adapter_redis::lock::Release;
use run::Outcome;
use run::cache::Numbers;
use run::lock::{Hold, Holders};
use run::stage::Stage;

/// Many times what the benchmark measures: a busy machine must not fail it.
const BEHIND: Duration = Duration::from_secs(3);

fn holds(outcome: &Outcome) {
    assert_eq!(outcome.wrong(), Vec::<String>::new());
    assert!(outcome.promoted < outcome.first);
    let behind = outcome.first.saturating_sub(outcome.named);
    assert!(behind < BEHIND, "{behind:?} behind those whom it asks");
    assert!(outcome.counts.lost_calls() > 0, "it was away");
    assert!(outcome.counts.lost_calls() < outcome.counts.calls);
    // One for each script that is called, and again for callers that came too late to wait for it.
    assert!((2..=8).contains(&outcome.scripts), "{} sources sent", outcome.scripts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sentinels_the_next_primary_is_called_as_soon_as_one_names_it() {
    holds(&run::run(&Stage::sentinel()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_replica_is_called_as_soon_as_it_serves_and_the_others_all_along() {
    let outcome = run::run(&Stage::cluster()).await;
    holds(&outcome);
    assert!(outcome.others.calls > outcome.counts.calls, "two primaries live on");
}

fn unanswered() -> Error {
    Error::Unanswered { waited: Duration::ZERO, why: String::new() }
}

#[test]
fn a_wrong_value_would_be_seen() {
    let mut numbers = Numbers::new(7);
    for _ in 0..3 {
        numbers.written(Ok(()));
    }
    numbers.written(Err(&Error::Unavailable(String::new())));
    numbers.written(Err(&unanswered()));
    assert_eq!(numbers.read(Some("7:3"), false), Ok(0), "the last");
    for wrong in ["8:3", "7:4", "7:6", "7:x", "7"] {
        assert!(numbers.read(Some(wrong), false).is_err(), "{wrong}");
    }
    assert_eq!(numbers.read(Some("7:5"), false), Ok(0), "it was executed after all");
    assert!(numbers.read(Some("7:3"), false).is_err(), "the same primary forgets nothing");
}

#[test]
fn only_the_heir_may_have_lost_writes_and_only_at_once() {
    let mut numbers = Numbers::new(7);
    for _ in 0..5 {
        numbers.written(Ok(()));
    }
    numbers.written(Err(&unanswered()));
    assert_eq!(numbers.read(Some("7:2"), true), Ok(3), "3, 4 and 5");
    assert_eq!(numbers.read(Some("7:2"), true), Ok(0));
    assert!(numbers.read(Some("7:1"), true).is_err());
    let mut numbers = Numbers::new(7);
    numbers.written(Ok(()));
    assert_eq!(numbers.read(None, true), Ok(1));
}

#[test]
fn two_holders_would_be_seen() {
    let holders = Holders::default();
    assert_eq!(holders.enter("lock", 1, false), Ok(()));
    assert_eq!(holders.enter("another", 2, false), Ok(()));
    assert!(holders.enter("lock", 2, false).is_err());
    holders.leave("lock", 2);
    assert_eq!(holders.enter("lock", 3, false), Ok(()));
    assert_eq!(holders.enter("lock", 4, true), Ok(()), "the heir knows nothing of 3");
    assert!(holders.enter("lock", 5, true).is_err());
}

#[test]
fn a_lock_that_is_gone_would_be_seen() {
    let (answered, by_heir) = (true, true);
    assert!(Hold::new(!by_heir, answered).released(Release::NotOurs, false).is_err());
    assert_eq!(Hold::new(!by_heir, answered).released(Release::NotOurs, true), Ok(true), "lost");
    assert!(Hold::new(by_heir, answered).released(Release::NotOurs, true).is_err());
    assert_eq!(Hold::new(by_heir, !answered).released(Release::NotOurs, true), Ok(false));
    let mut hold = Hold::new(by_heir, answered);
    hold.unreleased(&Error::Unavailable(String::new()));
    assert!(hold.released(Release::NotOurs, true).is_err());
    hold.unreleased(&unanswered());
    assert_eq!(hold.released(Release::NotOurs, true), Ok(false));
}
