//! Why a server did not start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a [`Server`](crate::testing::Server) did not start.
///
/// Its text is what a test's panic shows, so [`NotFound`](StartError::NotFound) is one line that
/// says how to get a server, and the others end with the last lines the server logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No server program was found.
    #[error(
        "no Redis or Valkey server ({looked_for}): set REDIS_SERVER_BIN to one, or \
         `apt-get install redis-server`, `brew install valkey`, or `make server`, which fetches one"
    )]
    NotFound {
        /// Where it was looked for.
        looked_for: String,
    },
    /// The program could not be run, or is not a Redis or Valkey server.
    #[error("{} does not tell its version as a Redis or Valkey server: {said}", binary.display())]
    NotAServer {
        /// The program.
        binary: PathBuf,
        /// What it printed, or why it could not be run.
        said: String,
    },
    /// The operating system refused something a server needs.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was refused.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server program was built without TLS.
    #[error("{} was built without TLS; Debian's redis-server has it", binary.display())]
    NoTls {
        /// The program.
        binary: PathBuf,
    },
    /// The server ended before it was ready.
    #[error("the server ended while it started; its last words:\n{log}")]
    Ended {
        /// The last lines it logged.
        log: String,
    },
    /// The server was not ready in time.
    #[error("the server was not ready within {waited:?}; its last words:\n{log}")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
        /// The last lines it logged.
        log: String,
    },
}

impl StartError {
    /// An I/O error with what it prevented, for `map_err`.
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
