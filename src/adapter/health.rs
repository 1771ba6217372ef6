//! What an adapter swallowed, counted where it is swallowed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::circuit::CircuitState;
use crate::error::Error;
use crate::observe;

/// How an adapter is, and what it swallowed and refused since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether calls go to Redis; on a cluster the worst of its nodes. A cluster by a connection of the
    /// caller's is always taken for closed.
    pub state: CircuitState,
    /// Since when that is so: since when they go to all nodes, or do not go to the first that is away.
    pub since: Option<SystemTime>,
    /// Calls that were answered by their fallback: Redis was away, or refused what a sound server
    /// with room and rights would have done (`OOM`, `NOPERM`, `BUSY`), or a read would have told what was
    /// to be deleted.
    pub swallowed: Calls,
    /// Calls that were at fault themselves: bad input, a key of the wrong type.
    pub rejected: Calls,
    /// Keys that are still to be deleted, so that they and what lies beside them are not read.
    pub deletes_pending: usize,
    /// The patterns of keys that are still to be deleted and were too many to remember, so that no key of
    /// theirs is read.
    pub patterns_pending: Vec<&'static str>,
    /// How often a script was sent to a server that had lost it, or never had it.
    pub scripts_loaded: u64,
}

impl Health {
    /// Whether calls go to Redis, and on a cluster to all of it.
    pub fn is_reachable(&self) -> bool {
        self.state == CircuitState::Closed
    }
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

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::DeleteMany => "delete_many",
            Self::AcquireLock => "acquire_lock",
            Self::ReleaseLock => "release_lock",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    swallowed: [AtomicU64; 6],
    rejected: [AtomicU64; 6],
}

impl Counters {
    /// Counts a call whose error goes no further.
    pub(super) fn failed(&self, call: Call, error: &Error) {
        let is_rejection = error.is_rejection();
        let counts = match is_rejection {
            true => &self.rejected,
            false => &self.swallowed,
        };
        observe::fell_back(call.name(), is_rejection);
        counts[call as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn swallowed(&self) -> Calls {
        read(&self.swallowed)
    }

    pub(super) fn rejected(&self) -> Calls {
        read(&self.rejected)
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
