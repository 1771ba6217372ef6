//! A private server of a test.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::launch::Launch;
use super::log::Log;
use super::watchdog::Watchdog;
use super::{Reply, ServerBuilder, StartError, client, dir, ports};

/// Much more than a server needs, also on a busy machine that loads a lot.
const START_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const LAST_WORDS: usize = 20;

/// What a [`Server::restart`] finds of the data there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// What the server had saved: with `--appendonly yes` all it acknowledged but perhaps the last
    /// second, else what the last `SAVE` wrote. Without either a server starts empty all the same.
    Kept,
    /// Nothing: its directory is emptied, as if its disk were a new one.
    ///
    /// What says who the server is, is not data and stays: its users, of a cluster's node the
    /// identity and the slots it knew of, of a Sentinel and the servers it looks after what they
    /// were told of each other.
    Lost,
}

/// A real Redis or Valkey server of a test's own: private, on a loopback port and a unix socket,
/// saving nothing unless told to, and gone with all its files when dropped or when the test process
/// ends, however that ends.
///
/// All methods take `&self`, so that one thread can break the server under another.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::{Data, Server};
///
/// let server = Server::start()?;
/// assert!(server.url().starts_with("redis://127.0.0.1:"));
/// assert_eq!(server.command(&["SET", "a", "1"])?.text(), Some("OK"));
///
/// server.kill()?;
/// assert!(server.command(&["GET", "a"]).is_err());
///
/// server.restart(Data::Lost)?;
/// assert!(server.command(&["GET", "a"])?.is_nil());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    launch: Launch,
    port: u16,
    socket: PathBuf,
    command: Vec<OsString>,
    log: Arc<Log>,
    // Before the directory, since fields are dropped in order and the server uses it.
    running: Mutex<Running>,
    dir: TempDir,
}

#[derive(Debug)]
struct Running {
    watchdog: Watchdog,
    /// Whether the watchdog has been told to start the server.
    started: bool,
    paused: bool,
    /// The last process there was.
    pid: u32,
}

impl Server {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    ///
    /// [`StartError`]; its text is one line if there is no server program.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Starts a server with more than the defaults.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    pub(super) fn start_with(launch: &Launch) -> Result<Self, StartError> {
        ports::retried(|| {
            let port = ports::free().map_err(StartError::io("find a free port"))?;
            Self::start_at(launch, port)
        })
    }

    /// Starts a server on a port that was free a moment ago.
    pub(super) fn start_at(launch: &Launch, port: u16) -> Result<Self, Refused> {
        let dir = dir::private().map_err(StartError::io("make a private directory"))?;
        let socket = dir.path().join("server.sock");
        let log = Arc::new(Log::default());
        launch.write_files(dir.path()).map_err(StartError::io("write the server's files"))?;
        let command = launch.command_line(port, &socket, dir.path());
        let mut watchdog =
            Watchdog::guard(dir.path(), &command, &log).map_err(StartError::io("run /bin/sh"))?;
        let pid = go(&mut watchdog, &log, launch.wait_until_ready).map_err(|error| {
            let port_taken = watchdog.watched().now().port_taken;
            let error = if launch.lacks_tls(&log.text()) {
                StartError::NoTls { binary: launch.binary.path.clone() }
            } else {
                error
            };
            Refused { error, port_taken }
        })?;
        tracing::debug!(port, pid, "server started");
        let running = Mutex::new(Running { watchdog, started: true, paused: false, pid });
        let server = Self { launch: launch.clone(), port, socket, command, log, running, dir };
        server.send_once_up()?;
        Ok(server)
    }

    /// `redis://127.0.0.1:PORT`, or `rediss://…` if the server speaks TLS.
    pub fn url(&self) -> String {
        let scheme = if self.launch.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}", self.addr())
    }

    /// `unix:///PATH`.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The TCP port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The TCP address, the same after a restart.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The server's process: the present one, or the last there was.
    pub fn pid(&self) -> u32 {
        self.lock().pid
    }

    /// The private directory that holds the socket and the data.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's version, such as `(7, 2, 4)`.
    pub fn version(&self) -> (u32, u32, u32) {
        self.launch.binary.version
    }

    /// Whether it is Valkey rather than Redis.
    pub fn is_valkey(&self) -> bool {
        self.launch.binary.valkey
    }

    /// All that the server printed, over all its restarts.
    pub fn log(&self) -> String {
        self.log.text()
    }

    pub(super) fn last_words(&self, lines: usize) -> String {
        self.log.last(lines)
    }

    /// Ends the server with `kill -9` and waits until it is gone. One that is not running stays so.
    ///
    /// Clients see their connections closed and new ones refused, until [`restart`](Self::restart).
    ///
    /// # Errors
    ///
    /// When the system cannot start the process that guards the server's files meanwhile.
    pub fn kill(&self) -> io::Result<()> {
        self.kill_locked(&mut self.lock())
    }

    /// Stops the server where it stands, with SIGSTOP: connections stay open, the system accepts
    /// new ones, and nothing is answered until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// When the server is not running.
    pub fn pause(&self) -> io::Result<()> {
        let mut running = self.lock();
        running.watchdog.signal(Signal::STOP)?;
        running.paused = true;
        Ok(())
    }

    /// Lets a paused server go on, with all that it was sent meanwhile.
    ///
    /// # Errors
    ///
    /// When the server is not running.
    pub fn resume(&self) -> io::Result<()> {
        let mut running = self.lock();
        running.watchdog.signal(Signal::CONT)?;
        running.paused = false;
        Ok(())
    }

    /// Kills the server if it runs, and starts it again on the same port and socket.
    ///
    /// # Errors
    ///
    /// [`StartError`], for instance if another process has taken the port meanwhile.
    pub fn restart(&self, data: Data) -> Result<(), StartError> {
        let mut running = self.lock();
        self.kill_locked(&mut running).map_err(StartError::io("run /bin/sh"))?;
        if data == Data::Lost {
            dir::empty(self.dir.path(), &self.launch.kept_files())
                .map_err(StartError::io("empty the server's directory"))?;
        }
        running.started = true;
        running.paused = false;
        running.pid = go(&mut running.watchdog, &self.log, self.launch.wait_until_ready)?;
        self.send_once_up()
    }

    /// Sends one command over a connection of its own and gives the reply, which may be an error
    /// reply.
    ///
    /// It uses the unix socket, so that a [`Proxy`](super::Proxy) counts only what is tested, and
    /// the default user, without a password unless a group was given one.
    ///
    /// # Errors
    ///
    /// When the server is not running or does not answer within five seconds.
    pub fn command(&self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.command_after(&[], words)
    }

    /// As [`command`](Self::command), after others over the same connection that must not be
    /// refused.
    pub(super) fn command_after(
        &self,
        first: &[&[&str]],
        words: &[impl AsRef<[u8]>],
    ) -> io::Result<Reply> {
        let auth = self.launch.password.as_deref().map(|password| ["AUTH", password]);
        let auth = auth.as_ref().map(|auth| &auth[..]);
        let first: Vec<_> = auth.into_iter().chain(first.iter().copied()).collect();
        client::call(&self.socket, &first, words, ANSWER_WITHIN)
    }

    /// Whether it runs and is not paused: whoever asks it gets an answer.
    pub(super) fn answers(&self) -> bool {
        let running = self.lock();
        running.started && !running.paused && !running.watchdog.watched().now().ended
    }

    /// Makes the server forget its scripts, as a restart does.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command), and when the server refuses it.
    pub fn flush_scripts(&self) -> io::Result<()> {
        self.command(&["SCRIPT", "FLUSH"])?.or_refused().map(drop)
    }

    /// A field of what `INFO` tells, or `None` if it does not tell it.
    ///
    /// # Panics
    ///
    /// When the server does not answer, since an assertion about it would mean nothing.
    pub fn info_field(&self, section: &str, name: &str) -> Option<String> {
        let reply = match self.command(&["INFO", section]) {
            Ok(reply) => reply,
            Err(error) => panic!("INFO {section} failed: {error}"),
        };
        let Some(info) = reply.text() else {
            panic!("INFO {section} failed: {reply:?}");
        };
        info.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value.to_owned())
    }

    /// How often clients and scripts have called a command since the server started, for instance
    /// `evalsha`; a subcommand is named `script|load`.
    ///
    /// # Panics
    ///
    /// When the server does not answer, since an assertion about it would mean nothing.
    pub fn command_calls(&self, name: &str) -> u64 {
        let field = format!("cmdstat_{}", name.to_ascii_lowercase());
        self.info_field("commandstats", &field)
            .and_then(|value| {
                let calls = value.split(',').find_map(|part| part.strip_prefix("calls="));
                calls.and_then(|calls| calls.parse().ok())
            })
            .unwrap_or(0)
    }

    fn send_once_up(&self) -> Result<(), StartError> {
        let Some(words) = self.launch.once_up else { return Ok(()) };
        let reply = self.command(words).and_then(Reply::or_refused);
        reply.map(drop).map_err(StartError::io("send its first command"))
    }

    fn kill_locked(&self, running: &mut Running) -> io::Result<()> {
        if running.started {
            // The next watchdog before the last one ends, so that the directory always has one.
            let next = Watchdog::guard(self.dir.path(), &self.command, &self.log)?;
            let last = std::mem::replace(&mut running.watchdog, next);
            running.started = false;
            last.end_but_keep_dir();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a server did not start, and whether it may on another port.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: StartError,
    pub(super) port_taken: bool,
}

impl From<StartError> for Refused {
    fn from(error: StartError) -> Self {
        Self { error, port_taken: false }
    }
}

/// Has the server started, waits until it is as far as wanted, and tells its process.
fn go(watchdog: &mut Watchdog, log: &Log, wait_until_ready: bool) -> Result<u32, StartError> {
    watchdog.go().map_err(StartError::io("tell /bin/sh"))?;
    let progress = watchdog.watched().wait(Instant::now() + START_WITHIN, |progress| {
        let up = progress.ready || (progress.accepting && !wait_until_ready);
        progress.ended || (up && progress.pid.is_some())
    });
    let up = progress.ready || (progress.accepting && !wait_until_ready);
    match progress.pid {
        Some(pid) if up && !progress.ended => Ok(pid.unsigned_abs()),
        _ if progress.ended => Err(StartError::Ended { log: log.last(LAST_WORDS) }),
        _ => Err(StartError::TimedOut { waited: START_WITHIN, log: log.last(LAST_WORDS) }),
    }
}
