//! One handle, [`Redis`], over a server, a Sentinel group or a cluster, or over a connection that the
//! caller already has.

mod address;
mod backoff;
mod builder;
mod circuit;
mod closings;
mod cluster;
mod deadline;
mod dial;
mod flight;
mod fuse;
mod given;
mod identity;
#[cfg(test)]
pub(crate) mod laws;
mod link;
mod place;
mod push;
mod reply;
mod sentinel;
mod state;
mod supervisor;
mod target;
mod url;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::runtime::Handle;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::{Keys, Layout, check_prefix, slot};
use crate::observe;
use cluster::{Cluster, Node};
use deadline::{DEFAULT_CALL_DEADLINE, check_deadline};
use given::Given;
use link::{Link, Request};

pub use builder::RedisBuilder;
pub use circuit::{Circuit, CircuitState, Circuits};
pub(crate) use deadline::Deadline;
pub(crate) use flight::{Flights, Turn};
pub(crate) use link::Sent;
pub(crate) use place::Place;
pub(crate) use push::{Ear, Push};

/// A handle over a Redis or Valkey server, a primary that Sentinels name, or a cluster, cheap to
/// clone and to share.
///
/// [`connect`](Self::connect) and [`builder`](Self::builder) give a handle that keeps itself
/// connected: a failed connect is retried for as long as the handle lives, and a connection that
/// stops answering is replaced. With Sentinels the next connection leads to the primary of that
/// time. On a cluster each primary has a connection of its own, so that one that is dead stops the
/// calls of its own slots only. A handle made [from](#trait-implementations) a connection of the
/// caller's keeps that connection's own behaviour.
///
/// Every call has one deadline in all (250 ms by default), over every step that it takes. While the
/// first connection is being made, or the next after one was cut, a call waits for it within its
/// deadline. While a node is away calls to it fail at once: see [`circuits`](Self::circuits).
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
    settings: Arc<Settings>,
    /// That of no other handle of this process, but of all its clones.
    id: u64,
}

#[derive(Clone)]
enum Backend {
    /// Kept connected by our own reconnect loop.
    Link(Arc<Link>),
    /// A loop for each primary.
    Cluster(Arc<Cluster>),
    Given(Arc<Given>),
}

#[derive(Clone, Debug)]
struct Settings {
    prefix: Box<str>,
    layout: Layout,
    call_deadline: Duration,
}

/// How far a call had come, for whoever cuts it off.
struct Progress {
    sent: Sent,
    /// The node of a cluster that it is with.
    node: Option<Arc<Node>>,
    /// Whether it ends with the first `TRYAGAIN`.
    at_once: bool,
}

impl Redis {
    /// Connects with the defaults of [`builder`](Self::builder) to
    ///
    /// - a server: `redis://[user:password@]host[:6379][/db]` or `unix:///path/to/socket[?db=1]`;
    /// - the primary that Sentinels name:
    ///   `redis+sentinel://[user:password@]host[:26379],host,…/service[/db]`, with
    ///   `?sentinel_username=…&sentinel_password=…` where the Sentinels want a login of their own;
    /// - a cluster, of which some nodes are named:
    ///   `redis+cluster://[user:password@]host[:6379],host,…`.
    ///
    /// `rediss` for `redis` means TLS to all of them and needs the feature `tls`; `valkey` and
    /// `valkeys` mean the same as these two. What a URL sets apart (`@`, `/`, `,` and so on) is written
    /// percent-encoded in names and passwords.
    ///
    /// Waits for the outcome of the first attempt to connect, at most the connect time-out. A
    /// server that is away is no error: the handle comes to life when it appears.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where the URL cannot be used, or outside a Tokio runtime.
    pub async fn connect(url: &str) -> Result<Self> {
        let redis = Self::builder().url(url).build()?;
        match &redis.backend {
            Backend::Link(link) => link.first_attempt().await,
            Backend::Cluster(cluster) => cluster.first_attempt().await,
            Backend::Given(_) => {}
        }
        Ok(redis)
    }

    /// A builder for everything that a URL does not say.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// Resolves once there is a connection, on a cluster one to each primary. A handle made from a
    /// caller's connection is taken to have one.
    pub async fn connected(&self) {
        match &self.backend {
            Backend::Link(link) => link.connected().await,
            Backend::Cluster(cluster) => cluster.connected().await,
            Backend::Given(_) => {}
        }
    }

    /// Whether there is a connection, on a cluster one to each primary, as far as this side knows.
    pub fn is_connected(&self) -> bool {
        match &self.backend {
            Backend::Link(link) => link.is_up(),
            Backend::Cluster(cluster) => cluster.is_up(),
            Backend::Given(_) => true,
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
        match &self.backend {
            Backend::Link(_) => false,
            Backend::Cluster(_) => true,
            Backend::Given(given) => given.is_cluster(),
        }
    }

    /// Where its connections are kept up; where one was given, those of a caller's keep themselves up.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        match &self.backend {
            Backend::Link(link) => Some(link.runtime()),
            Backend::Cluster(cluster) => Some(cluster.runtime()),
            Backend::Given(given) => given.runtime(),
        }
    }

    /// What its clones have in common with it, whatever they changed, and no other handle.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether its connections are the caller's own affair.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.backend, Backend::Given(_))
    }

    /// Asks the server whether it answers, on a cluster every primary, side by side: one round trip.
    /// A node that answers may still refuse keys, as while its cluster is down.
    ///
    /// # Errors
    ///
    /// Any of [`Error::Unavailable`], [`Error::Unanswered`], [`Error::Server`].
    pub async fn ping(&self) -> Result<()> {
        self.everywhere(&redis::cmd("PING")).await.map(drop)
    }

    /// Sends one command within a deadline of its own.
    pub(crate) async fn command(&self, cmd: &Cmd) -> Result<Value> {
        let (deadline, mut sent) = (self.deadline(), Sent::default());
        let observed = observe::Call::command(cmd);
        let outcome = self.command_within(cmd, deadline, &mut sent).await;
        let outcome = outcome.map_err(|error| sent.weigh(error, deadline));
        observed.end(&outcome);
        outcome
    }

    /// Sends one command within `deadline`, on a cluster to where its first key is. An error reply is
    /// an `Err`; it is to be weighed against what the call has `sent` in all.
    pub(crate) async fn command_within(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        sent: &mut Sent,
    ) -> Result<Value> {
        self.send_within(cmd, deadline, sent, false).await
    }

    /// The same, but `TRYAGAIN` is not awaited to pass.
    pub(crate) async fn command_at_once(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        sent: &mut Sent,
    ) -> Result<Value> {
        self.send_within(cmd, deadline, sent, true).await
    }

    async fn send_within(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        sent: &mut Sent,
        at_once: bool,
    ) -> Result<Value> {
        let before = sent.before;
        let mut progress = Progress { sent: Sent::after(before), node: None, at_once };
        let attempt = self.attempt(cmd, deadline, &mut progress);
        let outcome = tokio::time::timeout_at(deadline.at, attempt).await;
        let outcome = outcome.unwrap_or_else(|_| {
            let sent = &progress.sent;
            match (&self.backend, &progress.node) {
                (Backend::Link(link), _) => link.unanswered(sent, deadline),
                (Backend::Cluster(cluster), Some(node)) => {
                    cluster.unanswered(node, sent, deadline);
                }
                (Backend::Cluster(cluster), None) => cluster.unfound(deadline),
                (Backend::Given(given), _) => given.unanswered(sent, deadline),
            }
            Err(deadline.too_late(progress.sent.anything()))
        });
        *sent = progress.sent;
        outcome
    }

    /// Sends one command that has no key, on a cluster to every primary: all replies, or the first
    /// error.
    pub(crate) async fn everywhere(&self, cmd: &Cmd) -> Result<Vec<Value>> {
        match &self.backend {
            Backend::Cluster(cluster) => {
                let observed = observe::Call::command(cmd);
                let outcome = cluster.call_all(cmd, self.deadline()).await;
                observed.end(&outcome);
                outcome
            }
            _ => Ok(vec![self.command(cmd).await?]),
        }
    }

    async fn attempt(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        progress: &mut Progress,
    ) -> Result<Value> {
        match &self.backend {
            Backend::Link(link) => {
                link.call(Request::Plain(cmd), deadline, &mut progress.sent).await
            }
            Backend::Cluster(cluster) => cluster.call(cmd, deadline, progress).await,
            Backend::Given(given) => given.call(cmd, deadline, &mut progress.sent).await,
        }
    }

    /// A deadline that starts now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.settings.call_deadline)
    }

    /// What hears the messages of the server that this key belongs to. A caller's connection hears
    /// nothing.
    pub(crate) fn push(&self, key: &str) -> Option<Arc<Push>> {
        match &self.backend {
            Backend::Link(link) => Some(link.push(false)),
            Backend::Cluster(cluster) => Some(cluster.node_of(self.slot(key))?.link.push(true)),
            Backend::Given(_) => None,
        }
    }

    /// The present connection to the server that this key belongs to.
    pub(crate) fn connection(&self, key: &str) -> Option<u64> {
        match &self.backend {
            Backend::Link(link) => link.present(),
            Backend::Cluster(cluster) => cluster.node_of(self.slot(key))?.link.present(),
            Backend::Given(_) => None,
        }
    }

    /// The slot of a key on a cluster.
    pub(crate) fn slot(&self, key: &str) -> u16 {
        slot(format!("{}{key}", self.prefix()).as_bytes())
    }

    /// Who is loading which script onto the server that a command goes to.
    pub(crate) fn flights(&self, cmd: &Cmd) -> Arc<Flights> {
        match &self.backend {
            Backend::Link(link) => Arc::clone(&link.flights),
            Backend::Cluster(cluster) => cluster.flights(cmd),
            Backend::Given(given) => Arc::clone(&given.flights),
        }
    }

    fn from_backend(backend: Backend, layout: Layout) -> Self {
        let settings = Settings { prefix: "".into(), layout, call_deadline: DEFAULT_CALL_DEADLINE };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { backend, settings: Arc::new(settings), id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match &self.backend {
            Backend::Link(link) => link.name().to_owned(),
            Backend::Cluster(cluster) => cluster.name(),
            Backend::Given(given) => given.name().to_owned(),
        };
        f.debug_struct("Redis")
            .field("backend", &backend)
            .field("settings", &self.settings)
            .finish()
    }
}
