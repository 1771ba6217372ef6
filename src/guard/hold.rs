//! What this process knows of a lock that it holds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Moment, trusted};
use crate::key::Fence;
use crate::lock::{Extend, Leases, LockToken};
use crate::observe::Held;

/// The timers of the runtime do not count a suspend: whoever waits for the clock looks at it again
/// after so long.
pub(super) const RECHECK: Duration = Duration::from_secs(1);

/// A lock that this process holds until its deadline: shared by the guard, whoever awaits its loss, and
/// what renews it.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) leases: Leases,
    pub(super) key: Arc<str>,
    pub(super) token: LockToken,
    pub(super) fence: Option<Fence>,
    /// What was asked for, and what a renewal asks for.
    pub(super) ttl: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// None once the lock is lost or released, for ever.
    until: Option<Moment>,
    /// The longest lease that was asked for.
    longest: Duration,
    /// For how long a guard has it.
    held: Held,
}

impl Hold {
    /// One that was taken for this TTL, of which the lease that is known so far ends then.
    pub(super) fn new(
        leases: Leases,
        key: Arc<str>,
        token: LockToken,
        fence: Option<Fence>,
        ttl: Duration,
        until: Moment,
    ) -> Self {
        let state = Mutex::new(State { until: Some(until), longest: ttl, held: Held::not_yet() });
        Self { leases, key, token, fence, ttl, state, changed: Notify::new() }
    }

    /// How long the lock can still be trusted in; zero once it is lost.
    pub(super) fn remaining(&self) -> Duration {
        self.state().remaining()
    }

    pub(super) fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// A guard has it from now on.
    pub(super) fn begin(&self) {
        self.state().held.begin();
    }

    /// The lock is no longer wanted.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if !state.remaining().is_zero() {
            state.until = None;
            state.held.released();
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The lock is no longer ours.
    pub(super) fn lose(&self) {
        let mut state = self.state();
        if !state.remaining().is_zero() {
            state.until = None;
            state.held.lost(Moment::now());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        loop {
            let changed = self.changed.notified();
            let remaining = self.remaining();
            if remaining.is_zero() {
                return;
            }
            // A lost one is told at once; of one that was extended the deadline is asked again.
            let _ = tokio::time::timeout(remaining.min(RECHECK), changed).await;
        }
    }

    /// The server is about to be asked for so long a lease.
    pub(super) fn asked(&self, ttl: Duration) {
        let mut state = self.state();
        state.longest = state.longest.max(ttl);
    }

    /// What an extend came to that was asked for at `started`. Too late an answer changes nothing.
    pub(super) fn extended(&self, started: Moment, outcome: Extend) {
        match outcome {
            Extend::NotOurs => self.lose(),
            Extend::Extended { left } => {
                let mut state = self.state();
                // A server whose clock went back has more left, until it is put right.
                let left = left.min(state.longest);
                if !state.remaining().is_zero() {
                    state.until = state.until.max(Some(started.after(trusted(left))));
                }
            }
        }
    }

    /// How long the server may keep the lock, from now on.
    pub(super) fn longest(&self) -> Duration {
        self.state().longest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A deadline that has passed ends it, so that nothing brings it back.
    fn remaining(&mut self) -> Duration {
        let Some(until) = self.until else { return Duration::ZERO };
        let left = until.since(Moment::now());
        if left.is_zero() {
            self.until = None;
            self.held.lost(until);
        }
        left
    }
}
