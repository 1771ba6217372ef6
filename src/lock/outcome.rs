//! What the operations end with: everything that can happen, and nothing else.

use std::fmt;
use std::time::Duration;

#[cfg(doc)]
use super::Leases;
use super::LockToken;
use super::token::owner;
use crate::error::Error;
use crate::key::{Fence, left};

/// What came of an acquire.
#[derive(Debug)]
#[must_use = "an acquired lock is released by its token"]
pub enum Acquire {
    /// The lock is this token's, for the TTL counted from when the server executed the call, at the
    /// earliest when it was sent.
    Acquired(LockToken),
    /// Another holds it.
    Held {
        /// The time left of its lease; none where it has no end.
        left: Option<Duration>,
    },
    /// The call was sent and not answered: the lock may be this token's. Either
    /// [retry](Leases::retry_acquire) with the same token or [release](Leases::release) it.
    Unknown {
        /// The token that may hold the lock.
        token: LockToken,
        /// What happened.
        error: Error,
    },
}

/// What came of a fenced acquire.
#[derive(Debug)]
#[must_use = "an acquired lock is released by its token"]
pub enum AcquireFenced {
    /// The lock is this token's, as in [`Acquire::Acquired`].
    Acquired {
        /// What proves the hold.
        token: LockToken,
        /// Its number, above that of every hold of this lock before.
        fence: Fence,
    },
    /// Another holds it.
    Held {
        /// The time left of its lease; none where it has no end.
        left: Option<Duration>,
    },
    /// The call was sent and not answered: the lock may be this token's. Either
    /// [retry](Leases::retry_acquire_fenced) with the same token or [release](Leases::release) it.
    Unknown {
        /// The token that may hold the lock.
        token: LockToken,
        /// What happened.
        error: Error,
    },
}

/// What came of stealing a lock.
#[derive(Debug)]
#[must_use = "a stolen lock is released by its token"]
pub enum Steal {
    /// The lock is this token's, for the TTL.
    Stolen {
        /// What proves the hold.
        token: LockToken,
        /// Its number, above that of the hold that was stolen from.
        fence: Fence,
    },
    /// It is free by now, or another hold than the one that was seen has it. It was left alone.
    Changed,
    /// The call was sent and not answered: the lock may be this token's.
    /// [`retry_acquire_fenced`](Leases::retry_acquire_fenced) with the same token finds it then, and
    /// [`release`](Leases::release) frees it.
    Unknown {
        /// The token that may hold the lock.
        token: LockToken,
        /// What happened.
        error: Error,
    },
}

/// What came of an extend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Extend {
    /// The lock is still this token's.
    Extended {
        /// The time left of the lease: the TTL asked for, or more where more was left.
        left: Duration,
    },
    /// The lease ended before; another may hold the lock now. Final: the token never holds again.
    NotOurs,
}

impl Extend {
    /// The milliseconds left, or 0.
    pub(super) fn told(ms: i64) -> Self {
        match ms {
            0 => Self::NotOurs,
            ms => Self::Extended { left: Duration::from_millis(ms.unsigned_abs()) },
        }
    }
}

/// What came of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Release {
    /// The lock was this token's, and is free now or another's.
    Freed,
    /// It was no longer this token's: the lease ended, or an earlier execution of this release freed
    /// it. Whatever is there is left alone.
    NotOurs,
}

impl Release {
    /// How many locks were freed.
    pub(super) fn told(freed: i64) -> Self {
        match freed {
            0 => Self::NotOurs,
            _ => Self::Freed,
        }
    }
}

/// What came of joining the queue of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an acquired lock is released by its token"]
pub enum Join {
    /// The lock is this token's, as in [`Acquire::Acquired`]. Its place in the queue is gone.
    Acquired {
        /// The fence of the hold, where its place asked for one.
        fence: Option<Fence>,
    },
    /// Another holds it, and the token has its place in the queue.
    Queued {
        /// The time left of the holder's lease; none where it has no end.
        left: Option<Duration>,
        /// When, in microseconds of the server's clock.
        at: u64,
    },
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The owner's name; none where other software took the lock.
    pub owner: Option<String>,
    /// The time left of the lease; none where it has no end.
    pub left: Option<Duration>,
}

/// One hold of a lock, as it was when it was inspected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The owner's name; none where other software took the lock.
    pub owner: Option<String>,
    /// The time left of the lease; none where it has no end.
    pub left: Option<Duration>,
    /// Its fence; none where it was taken without, or longer than a day and its first lease ago.
    pub fence: Option<Fence>,
    /// How many wait for it: places in its queue, one for all who wait with one
    /// [`Locks`](crate::Locks).
    pub waiters: u64,
    pub(super) seen: Seen,
}

/// What tells this hold from every other. It has the holder's token in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) lock: Vec<u8>,
    pub(super) counter: Vec<u8>,
}

impl LockInfo {
    pub(super) fn new((lock, ms, counter, waiters): (Vec<u8>, i64, Vec<u8>, i64)) -> Self {
        let fence = fence_of(&lock, &counter);
        let (owner, left) = (owner(&lock), left(ms));
        let waiters = waiters.unsigned_abs();
        Self { owner, left, fence, waiters, seen: Seen { lock, counter } }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The fence in the counter, if it was minted for this holder.
fn fence_of(holder: &[u8], counter: &[u8]) -> Option<Fence> {
    let colon = counter.iter().position(|&byte| byte == b':')?;
    let (number, whose) = (&counter[..colon], &counter[colon + 1..]);
    let number = std::str::from_utf8(number).ok().filter(|_| whose == holder)?;
    Fence::told(number.parse().ok()?)
}
