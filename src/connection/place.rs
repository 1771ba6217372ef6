//! The servers behind a handle, for commands that ask one after the other.

use std::sync::Arc;

use redis::{Cmd, Value};

use super::cluster::{Cluster, Node};
use super::{Backend, Redis};
use crate::error::{Error, Result};
use crate::observe;

/// A server with keys of its own: all of them, or a part of a cluster's.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    redis: &'a Redis,
    node: Option<(&'a Cluster, Arc<Node>)>,
}

impl Redis {
    /// Where keys are: on a cluster its primaries, as it tells them now.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where a slot of a cluster has none, or no node tells; [`Error::Config`] for a caller's connection to a cluster, which names no nodes.
    pub(crate) async fn places(&self) -> Result<Vec<Place<'_>>> {
        match &self.backend {
            Backend::Cluster(cluster) => {
                let nodes = cluster.ask_primaries(self.deadline()).await?.into_iter();
                let place = |node| Place { redis: self, node: Some((&**cluster, node)) };
                Ok(nodes.map(place).collect())
            }
            Backend::Given(given) if given.is_cluster() => {
                let why = "a connection to a cluster that was given cannot be asked node by node";
                Err(Error::Config(why.to_owned()))
            }
            _ => Ok(vec![Place { redis: self, node: None }]),
        }
    }
}

impl Place<'_> {
    /// Its present connection. That of a caller's is not known.
    pub(crate) fn connection(&self) -> Option<u64> {
        match (&self.node, &self.redis.backend) {
            (Some((_, node)), _) => node.link.present(),
            (None, Backend::Link(link)) => link.present(),
            (None, _) => None,
        }
    }

    /// Its address, where it is one of several.
    pub(crate) fn name(&self) -> Option<String> {
        self.node.as_ref().map(|(_, node)| node.address.to_string())
    }

    /// Sends one command there, within a deadline of its own.
    pub(crate) async fn command(&self, cmd: &Cmd) -> Result<Value> {
        match &self.node {
            Some((cluster, node)) => {
                let observed = observe::Call::command(cmd);
                let outcome = cluster.call_on(node, cmd, self.redis.deadline()).await;
                observed.end(&outcome);
                outcome
            }
            None => self.redis.command(cmd).await,
        }
    }
}
