//! What can be watched from outside, told in one place: to the `metrics` facade and as spans, each by its
//! feature. Without them it is all empty, in size and in time.
//!
//! Labels are fixed words, names of scripts and places of nodes: nothing that a caller passes.

#[cfg(feature = "metrics")]
mod measured;
#[cfg(feature = "spans")]
mod spanned;
#[cfg(not(feature = "metrics"))]
mod unmeasured;
#[cfg(not(feature = "spans"))]
mod unspanned;

use redis::Cmd;

#[cfg(feature = "metrics")]
use measured as measure;
#[cfg(feature = "spans")]
use spanned as span;
#[cfg(not(feature = "metrics"))]
use unmeasured as measure;
#[cfg(not(feature = "spans"))]
use unspanned as span;

use crate::error::{Error, Result};

pub(crate) use measure::{Held, Read, Wait};
pub(crate) use measure::{circuit, deletes_pending, fell_back, renewed, script_loaded};
pub(crate) use span::inherit;

/// A call under way. Unless it is told how it ended, it was cancelled.
pub(crate) struct Call {
    measured: measure::Call,
    spanned: span::Call,
}

#[cfg(not(any(feature = "metrics", feature = "spans")))]
const _: () = assert!(size_of::<Call>() == 0 && size_of::<(Read, Wait, Held)>() == 0);

impl Call {
    /// Of a script.
    pub(crate) fn script(name: &'static str) -> Self {
        Self { measured: measure::Call::begin(|| name), spanned: span::Call::script(name) }
    }

    /// Of a command, which is told by its name alone.
    pub(crate) fn command(cmd: &Cmd) -> Self {
        let name = || command_name(cmd);
        Self { measured: measure::Call::begin(name), spanned: span::Call::command(name) }
    }

    pub(crate) fn end<T>(mut self, result: &Result<T>) {
        let error = result.as_ref().err();
        let outcome = error.map_or("ok", failure);
        self.measured.came_to(outcome);
        self.spanned.came_to(outcome, error);
    }
}

/// What an error means for a call, in one word.
pub(crate) fn failure(error: &Error) -> &'static str {
    match error {
        Error::Unavailable(_) => "unavailable",
        Error::Unanswered { .. } => "unanswered",
        Error::Server(_) => "refused",
        _ => "rejected",
    }
}

/// The commands that this crate sends.
fn command_name(cmd: &Cmd) -> &'static str {
    const NAMES: [&str; 6] = ["GET", "SET", "DEL", "PING", "SCAN", "SCRIPT"];
    let first = cmd.args_iter().next();
    let is_first =
        |name: &&str| matches!(first, Some(redis::Arg::Simple(word)) if word == name.as_bytes());
    NAMES.into_iter().find(is_first).unwrap_or("other")
}
