//! What passed through a proxy, counted and waited for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What passed through a [`Proxy`](super::Proxy) so far, and what is in it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub connections: usize,
    /// Connections that are open. One whose client has gone stays open until the server has read
    /// all its bytes and closed its own side.
    pub open: usize,
    /// Bytes of clients written to the server.
    pub forwarded_bytes: usize,
    /// Bytes of the server written to clients.
    pub returned_bytes: usize,
    /// Bytes of clients held back by [`freeze_present`](super::Proxy::freeze_present).
    pub held_bytes: usize,
    /// Bytes of clients or of the server thrown away by a fault.
    pub lost_bytes: usize,
}

/// [`Stats`] that can be waited for.
#[derive(Debug, Default)]
pub(super) struct Counters {
    stats: Mutex<Stats>,
    changed: Condvar,
}

impl Counters {
    pub(super) fn now(&self) -> Stats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until the condition holds, at most so long, and tells whether it does.
    pub(super) fn wait(&self, within: Duration, mut holds: impl FnMut(&Stats) -> bool) -> bool {
        let stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let (_stats, waited) = self
            .changed
            .wait_timeout_while(stats, within, |stats| !holds(stats))
            .unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }
}
