//! A connection that the caller already has, which keeps its own way to reconnect.

use std::sync::Arc;

use redis::Cmd;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;

use super::backoff::DEFAULT_BACKOFF;
use super::circuit::Panel;
use super::deadline::Deadline;
use super::flight::Flights;
use super::fuse::Fuse;
use super::link::Sent;
use super::reply::decode;
use super::{Backend, Redis};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::Layout;

pub(super) struct Given {
    pub(super) connection: Connection,
    pub(super) flights: Arc<Flights>,
    panel: Arc<Panel>,
    /// None for a cluster, of which one node may be away alone.
    fuse: Option<Fuse>,
    /// Where it was given, which is where it is likely to be driven.
    runtime: Option<Handle>,
}

pub(super) enum Connection {
    Multiplexed(MultiplexedConnection),
    #[cfg(feature = "connection-manager")]
    Manager(redis::aio::ConnectionManager),
    #[cfg(feature = "cluster-connection")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Given {
    pub(super) fn new(connection: Connection) -> Self {
        let panel = Arc::<Panel>::default();
        let (flights, runtime) = (Arc::default(), Handle::try_current().ok());
        let mut given = Self { connection, flights, panel, fuse: None, runtime };
        if !given.is_cluster() {
            given.fuse = Some(Fuse::new(given.name(), &given.panel, DEFAULT_BACKOFF));
        }
        given
    }

    pub(super) fn panel(&self) -> &Panel {
        &self.panel
    }

    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    /// A call was cut off that had come so far.
    pub(super) fn unanswered(&self, sent: &Sent, deadline: Deadline) {
        if let (Some(fuse), Some(answers), Some(since)) = (&self.fuse, sent.answers(), sent.since())
        {
            fuse.unanswered(answers, since, sent.is_probe(), deadline);
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.connection {
            Connection::Multiplexed(_) => "a caller's MultiplexedConnection",
            #[cfg(feature = "connection-manager")]
            Connection::Manager(_) => "a caller's ConnectionManager",
            #[cfg(feature = "cluster-connection")]
            Connection::Cluster(_) => "a caller's ClusterConnection",
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        match self.connection {
            Connection::Multiplexed(_) => false,
            #[cfg(feature = "connection-manager")]
            Connection::Manager(_) => false,
            #[cfg(feature = "cluster-connection")]
            Connection::Cluster(_) => true,
        }
    }

    pub(super) async fn call(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        sent: &mut Sent,
    ) -> Result<Value> {
        let Some(fuse) = &self.fuse else {
            sent.begin(0, None, false);
            return self.send(cmd, deadline).await;
        };
        let pass = fuse.enter().await?;
        sent.begin(fuse.answers(), Some(pass.silent_since()), pass.is_probe());
        let outcome = self.send(cmd, deadline).await;
        pass.end(&outcome);
        outcome
    }

    async fn send(&self, cmd: &Cmd, deadline: Deadline) -> Result<Value> {
        let reply = match &self.connection {
            Connection::Multiplexed(given) => given.clone().send_packed_command(cmd).await,
            #[cfg(feature = "connection-manager")]
            Connection::Manager(given) => given.clone().send_packed_command(cmd).await,
            #[cfg(feature = "cluster-connection")]
            Connection::Cluster(given) => {
                use redis::aio::ConnectionLike;
                given.clone().req_packed_command(cmd).await
            }
        };
        decode(reply, deadline)
    }
}

impl From<MultiplexedConnection> for Redis {
    /// Such a connection never reconnects: the call that finds it cut is
    /// [`Error::Unanswered`], and those after it [`Error::Unavailable`], but for one at a time.
    fn from(given: MultiplexedConnection) -> Self {
        let given = Given::new(Connection::Multiplexed(given));
        Self::from_backend(Backend::Given(given.into()), Layout::Plain)
    }
}

#[cfg(feature = "connection-manager")]
impl From<redis::aio::ConnectionManager> for Redis {
    /// Reconnects as the manager does: the call that meets a cut connection fails.
    fn from(given: redis::aio::ConnectionManager) -> Self {
        let given = Given::new(Connection::Manager(given));
        Self::from_backend(Backend::Given(given.into()), Layout::Plain)
    }
}

#[cfg(feature = "cluster-connection")]
impl From<redis::cluster_async::ClusterConnection> for Redis {
    /// Routes, redirects and reconnects as the cluster client does.
    fn from(given: redis::cluster_async::ClusterConnection) -> Self {
        let given = Given::new(Connection::Cluster(given));
        Self::from_backend(Backend::Given(given.into()), Layout::HashTagged)
    }
}
