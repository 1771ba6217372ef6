//! The words of the tables.

use std::fmt;

use auth_adapter_redis::{Error, ExposedError};

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Right,
    Gone,
    Unavailable,
    Unknown,
    /// One of the last two: the circuit opens meanwhile.
    Away,
    Refused(String),
    Degraded,
    Nothing,
    NotKept,
    Later,
    InProcess,
    False,
}

/// What they mean.
pub const WORDS: [(&str, &str); 10] = [
    ("right", "as on a sound server"),
    (
        "gone",
        "the answer of a server that does not have it any more: a miss, no longer ours, unknown. It was lost, or this same call has done its work before its answer was lost",
    ),
    (
        "away",
        "`Unavailable`, nothing was sent, or `Unanswered`, it may have been executed: the first calls that meet the fault wait, at most until their deadline, and those after them fail at once",
    ),
    ("refused CODE", "`Error::Server` with this code"),
    ("degraded", "no error, but a value that says why there is no answer: ask the source"),
    ("none, not kept", "what `get` and `set` of the adapter do instead"),
    (
        "later",
        "a delete that is remembered, and done before what it was about is read again; a release that is tried until the lease ends",
    ),
    ("in process", "a lock within this process, or what this process lets pass of a quota"),
    ("false", "not available"),
    ("A; B: x, y", "A, but B for x and y"),
];

impl Answer {
    pub fn of(error: impl Failed) -> Self {
        match error.error() {
            Error::Unavailable(_) => Self::Unavailable,
            Error::Unanswered { .. } => Self::Unknown,
            Error::Server(error) => Self::Refused(error.code),
            error => panic!("{error}"),
        }
    }

    pub fn folded(self) -> Self {
        match self {
            Self::Unavailable | Self::Unknown => Self::Away,
            answer => answer,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right => "right",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Away => "away",
            Self::Refused(code) => return write!(f, "refused {code}"),
            Self::Degraded => "degraded",
            Self::Nothing => "none",
            Self::NotKept => "not kept",
            Self::Later => "later",
            Self::InProcess => "in process",
            Self::False => "false",
        })
    }
}

/// What a call can fail with.
pub trait Failed {
    fn error(self) -> Error;
}

impl Failed for Error {
    fn error(self) -> Error {
        self
    }
}

impl Failed for ExposedError {
    fn error(self) -> Error {
        self.error
    }
}
