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
    /// When it was closed last, and after how many failures.
    closed: Mutex<Option<(Instant, u32)>>,
    answers: AtomicU64,
    silence: Mutex<Silence>,
    backoff: Backoff,
    breaker: Breaker,
}

/// Calls of which none was answered.
#[derive(Default)]
struct Silence {
    since: Option<Instant>,
    /// When the last of them was cut off.
    until: Option<Instant>,
    /// How many of them wait still.
    waiting: usize,
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
    silent_since: Instant,
}

impl Fuse {
    pub(super) fn new(name: &'static str, panel: &Arc<Panel>, backoff: Backoff) -> Self {
        let (open, silence, closed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let breaker = panel.add(name);
        Self { name, open, closed, silence, answers: AtomicU64::new(0), backoff, breaker }
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
        let mut silence = self.silence();
        // Where nobody called meanwhile, nobody was left without an answer.
        if silence.waiting == 0
            && silence.until.is_none_or(|until| until.elapsed() >= DEFAULT_CALL_DEADLINE)
        {
            silence.since = None;
        }
        silence.waiting += 1;
        let silent_since = *silence.since.get_or_insert_with(Instant::now);
        Ok(Pass { fuse: self, is_probe, silent_since })
    }

    /// How many answers came so far.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// A call was cut off that had begun with so many answers, and in a silence `since` then. One that was
    /// given little says little, but several in a row do not.
    pub(super) fn unanswered(
        &self,
        answers: u64,
        since: Instant,
        is_probe: bool,
        deadline: Deadline,
    ) {
        if answers != self.answers() || deadline.was_missed() {
            return;
        }
        let mut silence = self.silence();
        // It waits no more, and unlike one that went away it has found out something.
        silence.since = Some(silence.since.map_or(since, |other| other.min(since)));
        silence.until = Some(Instant::now());
        drop(silence);
        if since.elapsed() * 2 >= DEFAULT_CALL_DEADLINE {
            self.blow(&format!("no reply within {:?}", deadline.limit()), is_probe);
        }
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
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
                let failures = self.failures_before();
                let next = Instant::now() + self.backoff.wait(failures);
                *open = Some(Open { why, failures, next, is_probed: false });
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
        if let Some(Open { failures, .. }) = open.take() {
            tracing::info!(node = self.name, "redis is back");
            *self.closed() = Some((Instant::now(), failures));
            self.breaker.close();
        }
    }

    /// What was closed a moment ago goes on where it was: a replica serves every read, and no write.
    fn failures_before(&self) -> u32 {
        match *self.closed() {
            Some((at, failures)) if at.elapsed() < self.backoff.max => failures + 1,
            _ => 0,
        }
    }

    fn closed(&self) -> MutexGuard<'_, Option<(Instant, u32)>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Since when nothing was answered, as it began.
    pub(super) fn silent_since(&self) -> Instant {
        self.silent_since
    }

    /// What the call came to.
    pub(super) fn end(mut self, outcome: &Result<Value>) {
        let is_probe = std::mem::take(&mut self.is_probe);
        match outcome {
            // What was sent or not in this call is not so in those that fail for it.
            Err(Error::Unanswered { why, .. } | Error::Unavailable(why)) => {
                self.fuse.blow(why, is_probe);
            }
            Err(error) if error.is_node_fault() => self.fuse.blow(&error.to_string(), is_probe),
            _ => {
                self.fuse.answers.fetch_add(1, Ordering::Relaxed);
                self.fuse.silence().since = None;
                if is_probe {
                    self.fuse.mend();
                }
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut silence = self.fuse.silence();
        silence.waiting -= 1;
        if silence.waiting == 0 {
            silence.since = None;
        }
        drop(silence);
        if self.is_probe
            && let Some(open) = &mut *self.fuse.open()
        {
            // Nobody knows what came of it.
            open.is_probed = false;
            open.next = Instant::now() + self.fuse.backoff.wait(open.failures);
        }
    }
}
