//! Who decided, and what.

use crate::error::Error;
use crate::rate::{Check, CheckMany};

/// What came of a check, and who decided.
#[derive(Debug)]
#[must_use = "what is denied must not be done"]
pub enum Decision<C = Check> {
    /// Redis, for all instances together.
    Redis(C),
    /// This process, by its share of the quota and by what Redis last denied.
    InProcess {
        /// What it decided. A cost over the share's burst is denied however long the caller waits:
        /// `retry_after` is then the time in which the share brings as much.
        check: C,
        /// Why Redis did not. Where it [may have executed](Error::may_have_executed) the call, the cost
        /// may be taken there as well.
        error: Error,
    },
}

impl<C> Decision<C> {
    /// What was decided, by whomever.
    pub fn check(&self) -> &C {
        match self {
            Self::Redis(check) | Self::InProcess { check, .. } => check,
        }
    }

    /// The same without who decided.
    pub fn into_check(self) -> C {
        match self {
            Self::Redis(check) | Self::InProcess { check, .. } => check,
        }
    }

    /// Why Redis did not decide. None where it did.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Redis(_) => None,
            Self::InProcess { error, .. } => Some(error),
        }
    }
}

impl Decision<Check> {
    /// Whether the cost was taken.
    pub fn is_allowed(&self) -> bool {
        self.check().is_allowed()
    }
}

impl Decision<CheckMany> {
    /// Whether the cost was taken.
    pub fn is_allowed(&self) -> bool {
        self.check().is_allowed()
    }
}
