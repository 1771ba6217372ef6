//! To the `metrics` facade, which passes it on to the recorder that the program has installed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

use crate::clock::Moment;
use crate::metrics::{
    CALL_SECONDS, CALLS, CIRCUIT_CHANGES, CIRCUIT_STATE, DELETES_PENDING, LOCK_HOLD_SECONDS,
    LOCK_RENEWAL_SLACK_SECONDS, LOCK_RENEWALS, LOCK_WAIT_SECONDS, LOCKS_LOST, READS, REJECTED,
    SCRIPT_LOADS, SWALLOWED,
};

/// What came of something that was dropped before it had ended.
const CANCELLED: &str = "cancelled";

/// The names of the states of a circuit, in their order.
const STATES: [&str; 3] = ["closed", "half_open", "open"];

pub(super) struct Call {
    operation: &'static str,
    outcome: &'static str,
    started: Instant,
}

impl Call {
    pub(super) fn begin(operation: impl FnOnce() -> &'static str) -> Self {
        Self { operation: operation(), outcome: CANCELLED, started: Instant::now() }
    }

    pub(super) fn came_to(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let (operation, outcome) = (self.operation, self.outcome);
        histogram!(CALL_SECONDS, "operation" => operation).record(self.started.elapsed());
        counter!(CALLS, "operation" => operation, "outcome" => outcome).increment(1);
    }
}

/// A read of the cache.
pub(crate) struct Read(&'static str);

impl Read {
    pub(crate) fn begin() -> Self {
        Self(CANCELLED)
    }

    pub(crate) fn end(mut self, outcome: &'static str) {
        self.0 = outcome;
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        counter!(READS, "outcome" => self.0).increment(1);
    }
}

/// A script was sent by its source.
pub(crate) fn script_loaded(name: &'static str) {
    counter!(SCRIPT_LOADS, "operation" => name).increment(1);
}

/// A call failed and its caller was given what stands in for it.
pub(crate) fn fell_back(operation: &'static str, is_rejection: bool) {
    let name = if is_rejection { REJECTED } else { SWALLOWED };
    counter!(name, "operation" => operation).increment(1);
}

/// What one adapter is to delete was so much before, and is so much now.
pub(crate) fn deletes_pending(before: usize, now: usize) {
    static TOTAL: Mutex<usize> = Mutex::new(0);
    let mut total = TOTAL.lock().unwrap_or_else(PoisonError::into_inner);
    *total = (*total + now).saturating_sub(before);
    gauge!(DELETES_PENDING).set(*total as f64);
}

/// The circuit of a node was in one state before, and is in another now. It begins and ends in none.
pub(crate) fn circuit(node: &Arc<str>, was: Option<usize>, is: Option<usize>) {
    /// How many circuits of each node are in each state.
    static NODES: Mutex<BTreeMap<Arc<str>, [usize; STATES.len()]>> = Mutex::new(BTreeMap::new());
    let mut nodes = NODES.lock().unwrap_or_else(PoisonError::into_inner);
    let counts = nodes.entry(Arc::clone(node)).or_default();
    if let Some(was) = was {
        counts[was] = counts[was].saturating_sub(1);
    }
    if let Some(is) = is {
        counts[is] += 1;
    }
    let worst = counts.iter().rposition(|&count| count > 0);
    gauge!(CIRCUIT_STATE, "node" => Arc::clone(node)).set(worst.unwrap_or(0) as f64);
    if worst.is_none() {
        nodes.remove(node);
    }
    if let (Some(_), Some(is)) = (was, is) {
        counter!(CIRCUIT_CHANGES, "node" => Arc::clone(node), "state" => STATES[is]).increment(1);
    }
}

/// A wait for a lock.
pub(crate) struct Wait {
    outcome: &'static str,
    started: Instant,
}

impl Wait {
    pub(crate) fn begin() -> Self {
        Self { outcome: CANCELLED, started: Instant::now() }
    }

    pub(crate) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let waited = self.started.elapsed();
        histogram!(LOCK_WAIT_SECONDS, "outcome" => self.outcome).record(waited);
    }
}

/// Since when a guard has a lock, if it still has.
#[derive(Debug)]
pub(crate) struct Held(Option<Moment>);

impl Held {
    pub(crate) fn not_yet() -> Self {
        Self(None)
    }

    pub(crate) fn begin(&mut self) {
        self.0 = Some(Moment::now());
    }

    pub(crate) fn released(&mut self) {
        self.end("released", Moment::now());
    }

    pub(crate) fn lost(&mut self, at: Moment) {
        if self.end("lost", at) {
            counter!(LOCKS_LOST).increment(1);
        }
    }

    fn end(&mut self, end: &'static str, at: Moment) -> bool {
        let Some(since) = self.0.take() else { return false };
        histogram!(LOCK_HOLD_SECONDS, "end" => end).record(at.since(since));
        true
    }
}

/// A renewal ended so. Where it was answered, so much of the lease was left.
pub(crate) fn renewed(outcome: &'static str, slack: Option<Duration>) {
    counter!(LOCK_RENEWALS, "outcome" => outcome).increment(1);
    if let Some(slack) = slack {
        histogram!(LOCK_RENEWAL_SLACK_SECONDS).record(slack);
    }
}
