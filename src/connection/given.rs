//! A connection that the caller already has, which keeps its own way to reconnect.

use std::sync::Arc;

use redis::Cmd;
use redis::Value;
use redis::aio::MultiplexedConnection;

use super::deadline::Deadline;
use super::flight::Flights;
use super::reply::decode;
use crate::error::Result;

#[derive(Clone)]
pub(super) struct Given {
    pub(super) connection: Connection,
    pub(super) flights: Arc<Flights>,
}

#[derive(Clone)]
pub(super) enum Connection {
    Multiplexed(MultiplexedConnection),
    #[cfg(feature = "connection-manager")]
    Manager(redis::aio::ConnectionManager),
    #[cfg(feature = "cluster-connection")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Given {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, flights: Arc::default() }
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

    pub(super) async fn call(&self, cmd: &Cmd, deadline: Deadline) -> Result<Value> {
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
