//! What can come of the operations on refresh tokens.

use std::fmt;

use crate::key::Timestamp;

/// What came of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Issue {
    /// The token is the current one of its session, now or since an earlier execution.
    Issued,
    /// The session has a token of the same generation or a later one.
    Behind,
    /// The session was revoked.
    Revoked,
    /// The session is not in Redis: create or fill it first.
    Unknown,
}

/// What a token is worth at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Lookup {
    /// The current one: it can be rotated.
    Current,
    /// It was rotated a moment ago: a rotation gives what the first one gave.
    Replay,
    /// It is older than that, and a rotation was a moment ago: a rotation is refused and ends nothing.
    Superseded,
    /// It was rotated before: a rotation would be [`Rotate::Reused`].
    Spent,
    /// The session was revoked.
    Revoked,
    /// None of these, as far as Redis knows.
    Unknown,
}

/// What came of a rotation.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "only one outcome lets the next token be used"]
pub enum Rotate {
    /// The next token is the current one, now or since an earlier execution of the same call.
    Rotated {
        /// The absolute expiry of the session, which no rotation moves.
        expires: Timestamp,
    },
    /// Another rotation of the same token came first, a moment ago. The next token of this call is
    /// nothing: drop it.
    Replayed {
        /// The response that was given to the other one, byte for byte. `Debug` does not show it.
        response: Vec<u8>,
    },
    /// The token is older than the one that was rotated a moment ago: a tab that was slow. It is
    /// refused, and the family lives.
    Superseded,
    /// A consumed token came back: two have it. The family is ended and the session revoked, by this
    /// call or by an earlier one with the same token.
    Reused {
        /// Which consumed token it was.
        class: Reuse,
    },
    /// The session was revoked.
    Revoked,
    /// Redis does not know the token to be any of these: the database decides. With no database
    /// behind, it is refused.
    Unknown,
}

/// Which consumed token came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// The one before the current one, whose hash is known: it is that token for sure.
    Previous,
    /// One before that, told by the family's secret and its generation.
    Older,
}

/// What came of a revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Revoke {
    /// The session is ended for good.
    Ended,
    /// It was before.
    Revoked,
    /// No session here has tokens of this family, and nothing was revoked: a session that Redis has
    /// without its tokens may read active. [`Sessions::revoke`](crate::Sessions::revoke) ends it
    /// whatever Redis knows.
    Unknown,
}

impl fmt::Debug for Rotate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotated { expires } => {
                f.debug_struct("Rotated").field("expires", expires).finish()
            }
            Self::Replayed { .. } => f.write_str("Replayed { .. }"),
            Self::Superseded => f.write_str("Superseded"),
            Self::Reused { class } => f.debug_struct("Reused").field("class", class).finish(),
            Self::Revoked => f.write_str("Revoked"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}
