//! One error for the crate, and the one place where a server's words get a meaning.

mod exposed;
#[cfg(test)]
pub(crate) mod laws;

use std::fmt;
use std::time::Duration;

pub use exposed::ExposedError;

/// What a call of this crate can end with when it has no answer.
///
/// A refusal (a lock held by another, a key that is not there) is never an error: it is a value of
/// the operation's own type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument was refused before anything was sent.
    #[error("invalid {what}: {why}")]
    InvalidInput {
        /// The argument that was refused.
        what: &'static str,
        /// Why, in words that name the rule.
        why: String,
    },

    /// A URL or a builder option cannot be used.
    #[error("invalid connection settings: {0}")]
    Config(String),

    /// The keys of one call lie in several cluster slots. Nothing was sent.
    #[error(
        "the keys {first:?} and {second:?} lie in different cluster slots: give them one hash tag, \
         such as {{42}}, or use `Layout::HashTagged`, or call once per slot"
    )]
    CrossSlot {
        /// The first key of the call.
        first: String,
        /// The first key that lies in another slot than `first`.
        second: String,
    },

    /// There is no connection: nothing was sent.
    #[error("redis is unavailable, nothing was sent: {0}")]
    Unavailable(String),

    /// The request was sent and no whole reply came, so **the server may have executed it**.
    #[error("no reply from redis within {waited:?}, the call may have been executed: {why}")]
    Unanswered {
        /// How long the call waited.
        waited: Duration,
        /// What happened on the connection.
        why: String,
    },

    /// Some slots of a call over many did their part, and these did not.
    #[error("deleted {deleted} keys, and failed in {}", in_slots(failed))]
    Partial {
        /// How many keys the other slots deleted.
        deleted: u64,
        /// The slots that failed, in order, at least one.
        failed: Vec<SlotFailure>,
    },

    /// The server answered with an error.
    #[error(transparent)]
    Server(#[from] ServerError),

    /// The reply does not have the shape that the caller (or the script's header) names.
    #[error("{call} gave {got}, expected {expected}")]
    Reply {
        /// The script (`noun/verb`) or command.
        call: String,
        /// The expected shape.
        expected: String,
        /// The shape that came, without its content.
        got: String,
    },

    /// A script's header or binding lines break the contract of
    /// [`ScriptLibrary`](crate::ScriptLibrary).
    #[error(transparent)]
    Contract(#[from] ContractError),
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::InvalidInput { what, why: why.into() }
    }

    /// Whether the server may have executed the call although its answer is not known.
    pub fn may_have_executed(&self) -> bool {
        match self {
            Self::Unanswered { .. } => true,
            Self::Partial { failed, .. } => {
                failed.iter().any(|slot| slot.error.may_have_executed())
            }
            _ => false,
        }
    }

    /// Whether the error speaks of the node (away, loading, read only) and not of this one call.
    ///
    /// A nil, a refusal, `NOSCRIPT`, `TRYAGAIN`, `WRONGTYPE` and bad input do not count, nor does
    /// `OOM`, which stops only writes that grow.
    pub fn is_node_fault(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unanswered { .. } => true,
            Self::Server(error) => error.kind.is_node_fault(),
            Self::Partial { failed, .. } => failed.iter().any(|slot| slot.error.is_node_fault()),
            _ => false,
        }
    }

    /// Whether the call itself was at fault, so that it would fail on a sound server too: bad input, a key
    /// that holds something else, a reply of another shape.
    pub fn is_rejection(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unanswered { .. } => false,
            Self::Server(error) => {
                matches!(error.kind, ServerErrorKind::WrongType | ServerErrorKind::BadValue)
            }
            Self::Partial { failed, .. } => failed.iter().all(|slot| slot.error.is_rejection()),
            _ => true,
        }
    }

    /// The kind of the server's error, if it was one.
    pub fn server_kind(&self) -> Option<ServerErrorKind> {
        match self {
            Self::Server(error) => Some(error.kind),
            _ => None,
        }
    }
}

/// A slot of a cluster in which a call over many failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct SlotFailure {
    /// The slot.
    pub slot: u16,
    /// The keys of the call that lie in it, as the caller named them.
    pub keys: Vec<String>,
    /// What its part of the call ended with.
    pub error: Error,
}

/// The slots, and what the first of them failed of.
fn in_slots(failed: &[SlotFailure]) -> String {
    const NAMED: usize = 5;
    let slots: Vec<_> = failed.iter().take(NAMED).map(|at| at.slot.to_string()).collect();
    let more = match failed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = failed.first().map(|at| format!(": {}", at.error)).unwrap_or_default();
    format!("slot {}{more}{first}", slots.join(", "))
}

/// An error reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// What it means to this crate.
    pub kind: ServerErrorKind,
    /// The code that leads the reply, such as `WRONGTYPE`.
    pub code: String,
    /// The rest of the reply.
    pub message: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis answered {} {}", self.code, self.message)
    }
}

impl std::error::Error for ServerError {}

/// A script that does not keep the form of the header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("script {script}: {why}")]
#[non_exhaustive]
pub struct ContractError {
    /// The script's path without `.lua`.
    pub script: String,
    /// The rule that it breaks.
    pub why: String,
}

/// The server errors that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorKind {
    /// `NOSCRIPT`: the script cache does not have it. Recovered by the call itself.
    NoScript,
    /// `WRONGTYPE`: a key holds another type than the operation's.
    WrongType,
    /// `BADVALUE`: a key holds a value that the operation's kind did not write.
    BadValue,
    /// `OOM`: over `maxmemory`, and the policy evicts nothing.
    OutOfMemory,
    /// `READONLY`: a replica, not the primary.
    ReadOnly,
    /// `LOADING`: the data set is being read from disk.
    Loading,
    /// `MASTERDOWN`: a replica without its primary, set not to serve stale data.
    MasterDown,
    /// `CLUSTERDOWN`: the slot has no primary.
    ClusterDown,
    /// `TRYAGAIN`: the slot is moving and a key is absent here. The same call may pass later.
    TryAgain,
    /// `MOVED`: another node of a cluster serves the slot. A cluster handle follows it; to others it
    /// says that the URL should begin with `redis+cluster://`.
    Moved,
    /// `ASK`: another node of a cluster is taking the slot over; else as `MOVED`.
    Ask,
    /// `BUSY`: another script runs past its time.
    Busy,
    /// `NOPERM`: the ACL user lacks a command, a key or a channel.
    NoPermission,
    /// `NOAUTH` or `WRONGPASS`: not logged in.
    NoAuth,
    /// Any other code.
    Other,
}

impl ServerErrorKind {
    pub(crate) fn is_node_fault(self) -> bool {
        matches!(self, Self::Loading | Self::ClusterDown | Self::ReadOnly | Self::MasterDown)
    }

    /// The one place where a code becomes a kind.
    fn of(code: &str) -> Self {
        match code {
            "NOSCRIPT" => Self::NoScript,
            "WRONGTYPE" => Self::WrongType,
            "BADVALUE" => Self::BadValue,
            "OOM" => Self::OutOfMemory,
            "READONLY" => Self::ReadOnly,
            "LOADING" => Self::Loading,
            "MASTERDOWN" => Self::MasterDown,
            "CLUSTERDOWN" => Self::ClusterDown,
            "TRYAGAIN" => Self::TryAgain,
            "MOVED" => Self::Moved,
            "ASK" => Self::Ask,
            "BUSY" => Self::Busy,
            "NOPERM" => Self::NoPermission,
            "NOAUTH" | "WRONGPASS" => Self::NoAuth,
            _ => Self::Other,
        }
    }
}

/// Classifies an error reply: `code` is its first word, `message` the rest.
///
/// Redis 6.2 wraps what a script's command raised into a sentence under the code `ERR` (`ERR Error
/// running script (call to f_…): @user_script:6: -READONLY You can't …`), with or without the dash.
/// The code inside is the one that counts.
pub(crate) fn classify(code: &str, message: &str) -> ServerError {
    let (code, message) = match code {
        "ERR" => unwrap_script_error(message).unwrap_or((code, message)),
        _ => (code, message),
    };
    // What a script is told where a command would be told `CLUSTERDOWN`.
    let code = match code {
        "ERR" if message.contains("while the cluster is down") => "CLUSTERDOWN",
        code => code,
    };
    ServerError {
        kind: ServerErrorKind::of(code),
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

/// The text of another crate's error. That of a parser has several lines.
pub(crate) fn in_one_line(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(", ")
}

fn unwrap_script_error(message: &str) -> Option<(&str, &str)> {
    let raised = message.strip_prefix("Error running script")?.rsplit_once("@user_script:")?.1;
    let (_line, raised) = raised.split_once(": ")?;
    let raised = raised.strip_prefix('-').unwrap_or(raised);
    let (code, rest) = raised.split_once(' ').unwrap_or((raised, ""));
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_uppercase());
    is_code.then_some((code, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapped_form_of_6_2_gives_the_code_inside() {
        let with_dash = "Error running script (call to f_9b1a): @user_script:6: @user_script: 6: \
                         -READONLY You can't write against a read only replica.";
        let found = classify("ERR", with_dash);
        assert_eq!(found.kind, ServerErrorKind::ReadOnly);
        assert!(found.message.starts_with("You can't"));

        let without = "Error running script (call to f_9b1a): @user_script:4: WRONGTYPE Operation \
                       against a key holding the wrong kind of value";
        assert_eq!(classify("ERR", without).kind, ServerErrorKind::WrongType);

        let oom = "Error running script (call to f_9b1a): @user_script:4: @user_script: 4: -OOM \
                   command not allowed when used memory > 'maxmemory'.";
        assert_eq!(classify("ERR", oom).kind, ServerErrorKind::OutOfMemory);
    }

    #[test]
    fn a_script_in_a_cluster_that_is_down_is_told_so_in_words() {
        for words in [
            "Script attempted to execute a write command while the cluster is down and readonly",
            "Can not execute a write command 'set' while the cluster is down and readonly script: f",
        ] {
            assert_eq!(classify("ERR", words).kind, ServerErrorKind::ClusterDown, "{words}");
        }
    }

    #[test]
    fn a_plain_err_stays_other() {
        let found = classify("ERR", "unknown command 'FOO'");
        assert_eq!(found.kind, ServerErrorKind::Other);
        assert_eq!(found.code, "ERR");
        let bug = "Error running script (call to f_1): @user_script:1: user_script:1: attempt to \
                   index a nil value";
        assert_eq!(classify("ERR", bug).kind, ServerErrorKind::Other);
    }

    #[test]
    fn what_speaks_of_the_node_is_told_from_what_speaks_of_the_call() {
        let server = |code| Error::Server(classify(code, ""));
        for code in ["LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN"] {
            assert!(server(code).is_node_fault(), "{code}");
        }
        for code in ["NOSCRIPT", "TRYAGAIN", "WRONGTYPE", "OOM", "BUSY", "ERR"] {
            assert!(!server(code).is_node_fault(), "{code}");
        }
    }

    #[test]
    fn what_would_fail_on_a_sound_server_too_is_told_from_what_would_not() {
        let server = |code| Error::Server(classify(code, ""));
        for error in [server("WRONGTYPE"), server("BADVALUE"), Error::invalid("key", "is bad")] {
            assert!(error.is_rejection(), "{error}");
        }
        let away = || Error::Unavailable(String::new());
        for error in [away(), server("LOADING"), server("OOM"), server("NOPERM"), server("ERR")] {
            assert!(!error.is_rejection(), "{error}");
        }
        let at = |slot, error| SlotFailure { slot, keys: Vec::new(), error };
        let partial = |failed| Error::Partial { deleted: 0, failed };
        assert!(partial(vec![at(1, server("WRONGTYPE"))]).is_rejection());
        assert!(!partial(vec![at(1, server("WRONGTYPE")), at(2, away())]).is_rejection());
    }
}
