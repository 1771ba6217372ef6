//! How a server is to be started.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

#[cfg(feature = "testing-tls")]
use super::Certificates;
use super::binary::Binary;
use super::launch::Launch;
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
    env: Vec<OsString>,
    wait_until_ready: bool,
    acl: Option<String>,
    #[cfg(feature = "testing-tls")]
    tls: Option<Certificates>,
    #[cfg(feature = "testing-tls")]
    client_certificate: bool,
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            binary: None,
            args: Vec::new(),
            env: Vec::new(),
            wait_until_ready: true,
            acl: None,
            #[cfg(feature = "testing-tls")]
            tls: None,
            #[cfg(feature = "testing-tls")]
            client_certificate: true,
        }
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

    /// One more variable of the environment of the server's process, beside those of the test's own:
    /// a library to preload, for instance.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let mut variable = name.as_ref().to_owned();
        variable.push("=");
        variable.push(value);
        self.env.push(variable);
        self
    }

    /// Users the server knows, in lines of an ACL file: `user NAME on >PASSWORD ~PATTERN +COMMAND`.
    ///
    /// The default user stays as it is, so that [`Server::command`] works, unless a line changes it.
    pub fn acl(mut self, lines: impl Into<String>) -> Self {
        self.acl = Some(lines.into());
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

    /// Has the server speak TLS on its port, and nothing else there.
    ///
    /// [`Server::command`] goes over the unix socket as ever, without TLS.
    #[cfg(feature = "testing-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing-tls")))]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(certificates.clone());
        self
    }

    /// Whether a client that speaks TLS must show a certificate; it must by default.
    #[cfg(feature = "testing-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing-tls")))]
    pub fn client_certificate_required(mut self, required: bool) -> Self {
        self.client_certificate = required;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// [`StartError`], which carries the last lines the server logged.
    pub fn start(self) -> Result<Server, StartError> {
        Server::start_with(&self.launch()?)
    }

    /// What a server, or each one of a group, is started with.
    pub(super) fn launch(self) -> Result<Launch, StartError> {
        let mut launch = Launch::new(Binary::find(self.binary.as_deref())?);
        launch.asked_for = self.args;
        launch.env = self.env;
        launch.acl = self.acl;
        #[cfg(feature = "testing-tls")]
        if let Some(certificates) = self.tls {
            launch.tls = true;
            let wanted = if self.client_certificate { "yes" } else { "optional" };
            launch.set("--tls-auth-clients", wanted);
            for (option, name, pem) in certificates.files() {
                launch.set(option, name);
                launch.files.push((name, pem.to_owned()));
            }
        }
        launch.wait_until_ready = self.wait_until_ready;
        Ok(launch)
    }
}
