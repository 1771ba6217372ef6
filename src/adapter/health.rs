//! What an adapter swallowed, counted where it is swallowed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::is_rejection;
use crate::error::{Error, Result};
use crate::lock::Acquire;

/// What an adapter swallowed and refused since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether the last call that said anything about it found Redis in order.
    pub reachable: bool,
    /// Calls that were answered by their fallback: Redis was away, or refused what a sound server
    /// with room and rights would have done (`OOM`, `NOPERM`, `BUSY`).
    pub swallowed: Calls,
    /// Calls that were at fault themselves: bad input, a key of the wrong type.
    pub rejected: Calls,
}

/// A number for each operation that can be swallowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "named after the operations")]
pub struct Calls {
    pub get: u64,
    pub set: u64,
    pub delete: u64,
    pub delete_many: u64,
    pub acquire_lock: u64,
    pub release_lock: u64,
}

impl Calls {
    /// All of them.
    pub fn total(&self) -> u64 {
        let locks = self.acquire_lock + self.release_lock;
        self.get + self.set + self.delete + self.delete_many + locks
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Get,
    Set,
    Delete,
    DeleteMany,
    AcquireLock,
    ReleaseLock,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    away: AtomicBool,
    swallowed: [AtomicU64; 6],
    rejected: [AtomicU64; 6],
}

/// An answer that tells whether the node is in order.
pub(super) trait Telling {
    /// The fault of the node in it, if there is one.
    fn fault(&self) -> Option<&Error>;
}

impl Telling for Acquire {
    fn fault(&self) -> Option<&Error> {
        match self {
            Self::Unknown { error, .. } => Some(error),
            _ => None,
        }
    }
}

macro_rules! never_a_fault {
    ($($answer:ty),*) => {
        $(impl Telling for $answer {
            fn fault(&self) -> Option<&Error> {
                None
            }
        })*
    };
}

never_a_fault!((), u64, bool, Option<String>, crate::lock::Release);

impl Counters {
    /// Notes what an answer says of the node, with one event for each change.
    pub(super) fn seen<T: Telling>(&self, answer: Result<T>) -> Result<T> {
        let fault = match &answer {
            Ok(answer) => answer.fault(),
            Err(error) if error.is_node_fault() => Some(error),
            Err(_) => return answer,
        };
        let was_away = self.away.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(error) if !was_away => tracing::warn!(%error, "redis is away: falling back"),
            None if was_away => tracing::info!("redis is back"),
            _ => {}
        }
        answer
    }

    /// Counts a call whose error goes no further.
    pub(super) fn failed(&self, call: Call, error: &Error) {
        let counts = match is_rejection(error) {
            true => &self.rejected,
            false => &self.swallowed,
        };
        counts[call as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn health(&self) -> Health {
        Health {
            reachable: !self.away.load(Ordering::Relaxed),
            swallowed: read(&self.swallowed),
            rejected: read(&self.rejected),
        }
    }
}

fn read(counts: &[AtomicU64; 6]) -> Calls {
    let of = |call: Call| counts[call as usize].load(Ordering::Relaxed);
    Calls {
        get: of(Call::Get),
        set: of(Call::Set),
        delete: of(Call::Delete),
        delete_many: of(Call::DeleteMany),
        acquire_lock: of(Call::AcquireLock),
        release_lock: of(Call::ReleaseLock),
    }
}
