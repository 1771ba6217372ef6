//! What a proxy does with all that passes, and with single replies.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::stats::Counters;

/// What a proxy does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Pass,
    Delay(Duration),
    Refuse,
    BlackHole,
    Silence,
    OneByte,
    Garbage,
    Endless,
}

/// What is done with one reply alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum OneReply {
    Drop,
    Half,
}

/// What is done with replies, and to which.
#[derive(Debug)]
pub(super) struct Breach {
    /// To requests in which these bytes are.
    pub(super) request: Vec<u8>,
    pub(super) what: OneReply,
    /// To the next such request alone.
    pub(super) once: bool,
}

/// What all connections of a proxy have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: SocketAddr,
    pub(super) mode: watch::Sender<Mode>,
    /// What is done with the reply to a request.
    to_break: Mutex<Option<Breach>>,
    pub(super) counters: Counters,
}

impl Shared {
    pub(super) fn new(target: SocketAddr) -> Self {
        Self {
            target,
            mode: watch::Sender::new(Mode::Pass),
            to_break: Mutex::new(None),
            counters: Counters::default(),
        }
    }

    pub(super) fn break_replies(&self, breach: Breach) {
        *self.to_break() = Some(breach);
    }

    pub(super) fn break_nothing(&self) {
        *self.to_break() = None;
    }

    /// What is to be done with the reply to a request.
    pub(super) fn take_broken(&self, request: &[u8]) -> Option<OneReply> {
        let is_in =
            |part: &[u8]| part.is_empty() || request.windows(part.len()).any(|at| at == part);
        let mut to_break = self.to_break();
        let what = to_break.as_ref().filter(|breach| is_in(&breach.request))?.what;
        // Of those that are to be broken once this was it.
        to_break.take_if(|breach| breach.once);
        Some(what)
    }

    pub(super) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    fn to_break(&self) -> MutexGuard<'_, Option<Breach>> {
        self.to_break.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
