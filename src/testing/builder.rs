//! How a server is to be started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::binary::Binary;
use super::{Server, StartError};

/// How a [`Server`] is to be started; made by [`Server::builder`].
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::Server;
///
/// let server = Server::builder()
///     .args(["--maxmemory", "2mb"])
///     .args(["--maxmemory-policy", "allkeys-lru"])
///     .start()?;
/// let limit = server.info_field("memory", "maxmemory");
/// assert_eq!(limit.as_deref(), Some("2097152"));
/// # Ok::<(), auth_adapter_redis::testing::StartError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerBuilder {
    binary: Option<PathBuf>,
    args: Vec<OsString>,
    wait_until_ready: bool,
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self { binary: None, args: Vec::new(), wait_until_ready: true }
    }

    /// One more argument of the server's command line, such as `--appendonly`.
    ///
    /// Arguments come after the defaults and win over them, but for the port, the socket, the
    /// directory and the log, which are the server's own. `--loglevel` must not be `warning` or
    /// `nothing`: the log is how a start is noticed.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments; see [`arg`](Self::arg).
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The server program, instead of the one that `REDIS_SERVER_BIN` or `PATH` gives.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Whether [`start`](Self::start) and [`Server::restart`] wait until the data is loaded.
    ///
    /// They do by default. Told not to, they return a server that accepts connections and may
    /// answer `-LOADING` to them.
    pub fn wait_until_ready(mut self, wait: bool) -> Self {
        self.wait_until_ready = wait;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// [`StartError`], which carries the last lines the server logged.
    pub fn start(self) -> Result<Server, StartError> {
        let binary = Binary::find(self.binary.as_deref())?;
        Server::start_with(binary, &self.args, self.wait_until_ready)
    }
}

/// The command line of a server: defaults, then what was asked for, then what is the server's own.
pub(super) fn command_line(
    binary: &Binary,
    asked_for: &[OsString],
    port: u16,
    socket: &Path,
    dir: &Path,
) -> Vec<OsString> {
    let mut line = vec![binary.path.clone().into_os_string()];
    let mut set = |option: &str, value: OsString| line.extend([option.into(), value]);
    set("--save", OsString::new());
    set("--appendonly", "no".into());
    set("--bind", "127.0.0.1".into());
    set("--loglevel", "notice".into());
    // Older servers allow the command always, and refuse options they do not know.
    if binary.version.0 >= 7 {
        set("--enable-debug-command", "local".into());
    }
    line.extend_from_slice(asked_for);
    let mut set = |option: &str, value: OsString| line.extend([option.into(), value]);
    set("--port", port.to_string().into());
    set("--unixsocket", socket.into());
    set("--dir", dir.into());
    set("--daemonize", "no".into());
    set("--logfile", OsString::new());
    line
}
