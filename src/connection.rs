//! One handle, [`Redis`], over a server or over a connection that the caller already has.

mod builder;
mod flight;
mod link;
mod state;
mod supervisor;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Value};
use tokio::time::Instant;

use crate::error::{Error, Result, classify, in_one_line};
use crate::key::{Keys, Layout, check_prefix};

pub use builder::RedisBuilder;
pub(crate) use flight::{Flights, Turn};
use link::Link;

/// Longer than anyone waits, and far below what a clock can add.
const MAX_CALL_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a call may take in all, unless the builder says otherwise.
const DEFAULT_CALL_DEADLINE: Duration = Duration::from_millis(250);

/// A handle over one Redis or Valkey server, cheap to clone and to share.
///
/// [`connect`](Self::connect) and [`builder`](Self::builder) give a handle that keeps itself
/// connected: a failed connect is retried for as long as the handle lives, and a connection that
/// stops answering is replaced. A handle made [from](#trait-implementations) a connection of the
/// caller's keeps that connection's own behaviour.
///
/// Every call has one deadline in all (250 ms by default), over every step that it takes. While
/// there is no connection a call fails at once; while one is being made it waits for it within its
/// deadline.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::Redis;
/// use std::time::Duration;
///
/// let redis = Redis::builder().url(&url).prefix("myapp:").call_deadline(Duration::from_millis(100)).build()?;
/// redis.connected().await;
/// assert!(redis.is_connected());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Redis {
    backend: Backend,
    flights: Arc<Flights>,
    settings: Arc<Settings>,
}

#[derive(Clone)]
enum Backend {
    /// Kept connected by our own reconnect loop.
    Link(Arc<Link>),
    Multiplexed(MultiplexedConnection),
    #[cfg(feature = "connection-manager")]
    Manager(redis::aio::ConnectionManager),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

#[derive(Clone, Debug)]
struct Settings {
    prefix: Box<str>,
    layout: Layout,
    call_deadline: Duration,
}

/// When a call began and when it must have ended.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) started: Instant,
    at: Instant,
}

impl Deadline {
    /// Waits for something that sends nothing. What is there only when the deadline has passed is
    /// too late: what follows would send.
    pub(crate) async fn bound<T>(self, wait: impl Future<Output = T>) -> Result<T> {
        match tokio::time::timeout_at(self.at, wait).await {
            Ok(got) if Instant::now() < self.at => Ok(got),
            _ => Err(Error::Unavailable("the deadline has passed".to_owned())),
        }
    }
}

impl Redis {
    /// Connects to `redis://[user:password@]host[:6379][/db]`, `rediss://…` (needs the feature
    /// `tls`) or `unix:///path/to/socket[?db=1]`, with the defaults of [`builder`](Self::builder).
    ///
    /// Waits for the outcome of the first attempt to connect, at most the connect time-out. A
    /// server that is away is no error: the handle comes to life when it appears.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the URL cannot be used, or outside a Tokio runtime.
    pub async fn connect(url: &str) -> Result<Self> {
        let redis = Self::builder().url(url).build()?;
        if let Backend::Link(link) = &redis.backend {
            link.first_attempt().await;
        }
        Ok(redis)
    }

    /// A builder for everything that a URL does not say.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Resolves once there is a connection. A handle made from a caller's connection is taken to
    /// have one.
    pub async fn connected(&self) {
        if let Backend::Link(link) = &self.backend {
            link.connected().await;
        }
    }

    /// Whether there is a connection, as far as this side knows.
    pub fn is_connected(&self) -> bool {
        match &self.backend {
            Backend::Link(link) => link.is_up(),
            _ => true,
        }
    }

    /// The same handle under another application prefix, which is written verbatim before every
    /// key: give it its own separator, as in `"myapp:"`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the prefix is over 512 bytes or has control characters or
    /// braces.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self> {
        check_prefix(prefix)?;
        Arc::make_mut(&mut self.settings).prefix = prefix.into();
        Ok(self)
    }

    /// The same handle with another deadline for each call.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it is zero, or a day or more.
    pub fn with_call_deadline(mut self, deadline: Duration) -> Result<Self> {
        check_deadline(deadline)?;
        Arc::make_mut(&mut self.settings).call_deadline = deadline;
        Ok(self)
    }

    /// The same handle with another [`Layout`] for its [`keys`](Self::keys).
    pub fn with_layout(mut self, layout: Layout) -> Self {
        Arc::make_mut(&mut self.settings).layout = layout;
        self
    }

    /// The application prefix.
    pub fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// The key patterns in this handle's layout: [`Layout::HashTagged`] on a cluster, else
    /// [`Layout::Plain`], unless chosen otherwise.
    pub fn keys(&self) -> Keys {
        Keys::new(self.settings.layout)
    }

    /// How long a call may take in all.
    pub fn call_deadline(&self) -> Duration {
        self.settings.call_deadline
    }

    /// Whether the handle speaks to a cluster, where the keys of one call must share a slot.
    pub fn is_cluster(&self) -> bool {
        #[cfg(feature = "cluster")]
        return matches!(self.backend, Backend::Cluster(_));
        #[cfg(not(feature = "cluster"))]
        false
    }

    /// Asks the server whether it answers: one round trip.
    ///
    /// # Errors
    ///
    /// Any of [`Error::Unavailable`], [`Error::Unanswered`], [`Error::Server`].
    pub async fn ping(&self) -> Result<()> {
        self.command(&redis::cmd("PING")).await.map(drop)
    }

    /// Sends one command within a deadline of its own.
    pub(crate) async fn command(&self, cmd: &Cmd) -> Result<Value> {
        self.command_within(cmd, self.deadline()).await
    }

    /// Sends one command within `deadline`. An error reply is an `Err`.
    pub(crate) async fn command_within(&self, cmd: &Cmd, deadline: Deadline) -> Result<Value> {
        let mut sent = false;
        let attempt = self.attempt(cmd, deadline, &mut sent);
        if let Ok(outcome) = tokio::time::timeout_at(deadline.at, attempt).await {
            return outcome;
        }
        if let Backend::Link(link) = &self.backend {
            link.suspect();
        }
        let why = format!("the deadline of {:?} has passed", self.call_deadline());
        Err(match sent {
            true => unanswered(deadline, why),
            false => Error::Unavailable(why),
        })
    }

    async fn attempt(&self, cmd: &Cmd, deadline: Deadline, sent: &mut bool) -> Result<Value> {
        let reply = match &self.backend {
            Backend::Link(link) => return link.call(cmd, deadline, sent).await,
            Backend::Multiplexed(given) => {
                *sent = true;
                given.clone().send_packed_command(cmd).await
            }
            #[cfg(feature = "connection-manager")]
            Backend::Manager(given) => {
                *sent = true;
                given.clone().send_packed_command(cmd).await
            }
            #[cfg(feature = "cluster")]
            Backend::Cluster(given) => {
                use redis::aio::ConnectionLike;
                *sent = true;
                given.clone().req_packed_command(cmd).await
            }
        };
        decode(reply, deadline)
    }

    /// A deadline that starts now.
    pub(crate) fn deadline(&self) -> Deadline {
        let started = Instant::now();
        let at = started + self.settings.call_deadline;
        Deadline { started, at }
    }

    /// Who is loading which script onto this handle's server.
    pub(crate) fn flights(&self) -> &Flights {
        &self.flights
    }

    fn from_backend(backend: Backend, layout: Layout) -> Self {
        let settings = Settings { prefix: "".into(), layout, call_deadline: DEFAULT_CALL_DEADLINE };
        Self { backend, flights: Arc::default(), settings: Arc::new(settings) }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match &self.backend {
            Backend::Link(link) => link.target(),
            Backend::Multiplexed(_) => "a caller's MultiplexedConnection",
            #[cfg(feature = "connection-manager")]
            Backend::Manager(_) => "a caller's ConnectionManager",
            #[cfg(feature = "cluster")]
            Backend::Cluster(_) => "a caller's ClusterConnection",
        };
        f.debug_struct("Redis")
            .field("backend", &backend)
            .field("settings", &self.settings)
            .finish()
    }
}

impl From<MultiplexedConnection> for Redis {
    /// Such a connection never reconnects: once it is cut, every call is [`Error::Unanswered`].
    fn from(given: MultiplexedConnection) -> Self {
        Self::from_backend(Backend::Multiplexed(given), Layout::Plain)
    }
}

#[cfg(feature = "connection-manager")]
impl From<redis::aio::ConnectionManager> for Redis {
    /// Reconnects as the manager does: the call that meets a cut connection fails.
    fn from(given: redis::aio::ConnectionManager) -> Self {
        Self::from_backend(Backend::Manager(given), Layout::Plain)
    }
}

#[cfg(feature = "cluster")]
impl From<redis::cluster_async::ClusterConnection> for Redis {
    /// Routes, redirects and reconnects as the cluster client does.
    fn from(given: redis::cluster_async::ClusterConnection) -> Self {
        Self::from_backend(Backend::Cluster(given), Layout::HashTagged)
    }
}

pub(crate) fn check_deadline(deadline: Duration) -> Result<()> {
    if deadline.is_zero() {
        return Err(Error::invalid("call deadline", "must not be zero"));
    }
    if deadline >= MAX_CALL_DEADLINE {
        return Err(Error::invalid("call deadline", "must be below a day"));
    }
    Ok(())
}

/// What the redis crate gave, as this crate says it.
fn decode(reply: RedisResult<Value>, deadline: Deadline) -> Result<Value> {
    match reply {
        Ok(Value::ServerError(error)) => {
            Err(classify(error.code(), error.details().unwrap_or_default()).into())
        }
        Ok(value) => Ok(value),
        Err(error) => Err(explain(&error, deadline)),
    }
}

fn explain(error: &RedisError, deadline: Deadline) -> Error {
    if let Some(code) = error.code() {
        return classify(code, error.detail().unwrap_or_default()).into();
    }
    let never_sent = matches!(
        error.kind(),
        ErrorKind::ClusterConnectionNotFound | ErrorKind::Client | ErrorKind::AuthenticationFailed
    ) || error.is_connection_refusal();
    match never_sent {
        true => Error::Unavailable(in_one_line(error)),
        false => unanswered(deadline, in_one_line(error)),
    }
}

fn unanswered(deadline: Deadline, why: String) -> Error {
    Error::Unanswered { waited: deadline.started.elapsed(), why }
}
