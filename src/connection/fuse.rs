//! The circuit of a caller's connection, which has no loop of ours: while it is open, one call at a time
//! is the probe.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::Value;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::circuit::{Breaker, Panel};
use super::deadline::{DEFAULT_CALL_DEADLINE, Deadline};
use crate::error::{Error, Result};

pub(super) struct Fuse {
    name: &'static str,
    open: Mutex<Option<Open>>,
    answers: AtomicU64,
    /// Since when calls wait of which none was answered.
    silent: Mutex<Option<Instant>>,
    backoff: Backoff,
    breaker: Breaker,
}

struct Open {
    why: Arc<str>,
    failures: u32,
    /// When the next call is a probe.
    next: Instant,
    is_probed: bool,
}

/// A call that may go. Dropping it says nothing of the node.
pub(super) struct Pass<'a> {
    fuse: &'a Fuse,
    is_probe: bool,
}

impl Fuse {
    pub(super) fn new(name: &'static str, panel: &Arc<Panel>, backoff: Backoff) -> Self {
        let (open, silent, breaker) = (Mutex::default(), Mutex::default(), panel.add(name));
        Self { name, open, silent, answers: AtomicU64::new(0), backoff, breaker }
    }

    /// # Errors
    ///
    /// [`Error::Unavailable`] while the circuit is open and this call is no probe.
    pub(super) async fn enter(&self) -> Result<Pass<'_>> {
        let entered = self.try_enter();
        if entered.is_err() {
            // A caller that tries again at once must not starve the connection's own tasks.
            tokio::task::consume_budget().await;
        }
        entered
    }

    fn try_enter(&self) -> Result<Pass<'_>> {
        let mut open = self.open();
        let is_probe = match &mut *open {
            None => false,
            Some(open) if open.is_probed || Instant::now() < open.next => {
                return Err(Error::Unavailable(open.why.to_string()));
            }
            Some(open) => {
                open.is_probed = true;
                self.breaker.probe();
                true
            }
        };
        drop(open);
        self.silent().get_or_insert_with(Instant::now);
        Ok(Pass { fuse: self, is_probe })
    }

    /// How many answers came so far.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// A call was cut off that had begun with so many answers. One that was given little says little, but
    /// several in a row do not.
    pub(super) fn unanswered(&self, answers: u64, is_probe: bool, deadline: Deadline) {
        let silence = self.silent().map(|since| since.elapsed()).unwrap_or_default();
        if answers == self.answers() && silence * 2 >= DEFAULT_CALL_DEADLINE {
            self.blow(&format!("no reply within {:?}", deadline.limit()), is_probe);
        }
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the circuit. Of those who come to the same at once, and of those who began before it was open,
    /// it is a probe alone that makes it last longer.
    fn blow(&self, why: &str, is_probe: bool) {
        let mut open = self.open();
        let why: Arc<str> = why.into();
        self.breaker.open(&why);
        match &mut *open {
            None => {
                tracing::warn!(node = self.name, %why, "redis is away");
                let next = Instant::now() + self.backoff.wait(0);
                *open = Some(Open { why, failures: 0, next, is_probed: false });
            }
            Some(open) => {
                open.why = why;
                if is_probe {
                    open.failures += 1;
                    open.next = Instant::now() + self.backoff.wait(open.failures);
                    open.is_probed = false;
                }
            }
        }
    }

    fn mend(&self) {
        let mut open = self.open();
        if open.take().is_some() {
            tracing::info!(node = self.name, "redis is back");
            self.breaker.close();
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// What the call came to.
    pub(super) fn end(mut self, outcome: &Result<Value>) {
        let is_probe = std::mem::take(&mut self.is_probe);
        match outcome {
            Err(error) if error.is_node_fault() => self.fuse.blow(&error.to_string(), is_probe),
            _ => {
                self.fuse.answers.fetch_add(1, Ordering::Relaxed);
                *self.fuse.silent() = None;
                if is_probe {
                    self.fuse.mend();
                }
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe
            && let Some(open) = &mut *self.fuse.open()
        {
            // Nobody knows what came of it.
            open.is_probed = false;
            open.next = Instant::now() + self.fuse.backoff.wait(open.failures);
        }
    }
}
