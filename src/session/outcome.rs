//! What the operations end with: everything that can happen, and nothing else.

use std::fmt;

use super::row::Session;
use crate::key::SessionId;

/// What Redis knew of a user when it had to say that it does not know enough. What the database says
/// *after* that can be brought back under it, and counts from then.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "what the database says is brought back under it"]
pub struct Version {
    pub(super) text: Vec<u8>,
    /// The server's time then, in epoch milliseconds.
    pub(super) asked: u64,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({}, {})", String::from_utf8_lossy(&self.text), self.asked)
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Check {
    /// It is logged in.
    Active(Session),
    /// It was revoked, whatever the database says by now.
    Revoked,
    /// Redis does not know. Ask the primary database, and [confirm](super::Sessions::confirm) under
    /// this version what is active there. Only under [`Authority::Database`](super::Authority).
    Unknown(Version),
    /// Nobody knows here, for Redis is away or refuses, for this reason. Ask the primary database; there is
    /// nothing to confirm under. Only under [`Authority::Database`](super::Authority): with nothing
    /// behind, it is an error.
    Degraded {
        /// The error, in words.
        why: String,
    },
    /// There is no such session. Only under [`Authority::Redis`](super::Authority).
    Absent,
}

/// What came of a confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Confirm {
    /// It reads active now.
    Confirmed,
    /// Something of this user was revoked since the check, or Redis has lost what it knew, or the check
    /// is older than a confirmed session may be. What the database said may be outdated: check again.
    Stale,
    /// It was revoked.
    Revoked,
    /// It has expired by the server's clock.
    Expired,
}

/// What came of a fill.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Fill {
    /// The list is complete.
    Filled {
        /// Those in the database's list that Redis has revoked: by itself, and the database does not
        /// know yet, or for a caller whose commit came after the list was read. They stay revoked.
        revoked: Vec<SessionId>,
    },
    /// As [`Confirm::Stale`]: list again.
    Stale,
}

/// What came of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "sessions that were displaced are to be revoked in the database as well"]
pub enum Create {
    /// It is there.
    Created {
        /// The oldest ones, which had to make room: revoked here, and to be revoked in the database.
        displaced: Vec<SessionId>,
    },
    /// Nothing was done: to keep the maximum, Redis has to know all sessions. Read them from the
    /// primary database, [fill](super::Sessions::fill) the list under this version, and create again.
    NeedsFill(Version),
    /// It was revoked before.
    Revoked {
        /// Those that an earlier execution of the same create displaced.
        displaced: Vec<SessionId>,
    },
    /// It has expired by the server's clock.
    Expired {
        /// Those that an earlier execution of the same create displaced.
        displaced: Vec<SessionId>,
    },
}

/// What came of a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Touch {
    /// Last seen is now.
    Noted,
    /// It was noted a moment ago.
    Recent,
    /// It is not known to be active, so nothing was noted.
    NotActive,
}

/// What came of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum List {
    /// All of them, the oldest first.
    Sessions(Vec<Session>),
    /// Redis does not know all of them. Read them from the primary database, and
    /// [fill](super::Sessions::fill) the list under this version.
    NeedsFill(Version),
}

/// What came of a revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked {
    /// Those that Redis knew until now, and none that was revoked before. Where this same call was executed
    /// once already and not answered, what that has ended is left out by
    /// [`revoke`](super::Sessions::revoke), and told of again by the other two.
    pub ended: Vec<SessionId>,
    /// The keys that were to be deleted and may still be there: all of them or none. On a cluster
    /// whose slot is just moving, sessions are revoked without them rather than not at all. Delete
    /// them one by one, or later.
    pub undeleted: Vec<String>,
}
