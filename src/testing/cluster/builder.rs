//! How a cluster is to be started.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::super::launch::Launch;
use super::super::server::Refused;
use super::super::{Proxy, ServerBuilder, StartError, group, new_id, ports};
use super::Cluster;
use super::view::{Planned, nodes_conf};

/// How a [`Cluster`] is to be started; made by [`Cluster::builder`].
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::Cluster;
///
/// let cluster = Cluster::builder().primaries(1).replicas_each(0).behind_proxies().start()?;
/// let proxy = &cluster.proxies()[0];
/// assert_eq!(cluster.url(), format!("redis+cluster://{}", proxy.addr()));
/// # Ok::<(), auth_adapter_redis::testing::StartError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClusterBuilder {
    node: ServerBuilder,
    primaries: usize,
    replicas_each: usize,
    behind_proxies: bool,
}

impl ClusterBuilder {
    pub(super) fn new() -> Self {
        Self { node: ServerBuilder::new(), primaries: 3, replicas_each: 1, behind_proxies: false }
    }

    /// How many primaries share the slots; three by default.
    ///
    /// # Panics
    ///
    /// When it is none, or more than there are slots.
    pub fn primaries(mut self, count: usize) -> Self {
        assert!((1..=16_384).contains(&count), "{count} primaries cannot share the slots");
        self.primaries = count;
        self
    }

    /// How many replicas each primary has; one by default.
    pub fn replicas_each(mut self, count: usize) -> Self {
        self.replicas_each = count;
        self
    }

    /// Puts a [`Proxy`] before each node, and has the nodes tell clients the proxies' ports.
    ///
    /// A client, and a replica that copies its primary, then reaches a node through its proxy only.
    /// The bus that the nodes agree over, and all methods of [`Cluster`], go past it.
    pub fn behind_proxies(mut self) -> Self {
        self.behind_proxies = true;
        self
    }

    /// The server program of every node; see [`ServerBuilder::binary`].
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.node = self.node.binary(path);
        self
    }

    /// One more argument of every node's command line; see [`ServerBuilder::arg`].
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.node = self.node.arg(arg);
        self
    }

    /// More arguments; see [`arg`](Self::arg).
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.node = self.node.args(args);
        self
    }

    /// Users that every node knows; see [`ServerBuilder::acl`].
    pub fn acl(mut self, lines: impl Into<String>) -> Self {
        self.node = self.node.acl(lines);
        self
    }

    /// Whether a restart of a node waits until its data is loaded, as it does by default; see
    /// [`ServerBuilder::wait_until_ready`]. [`start`](Self::start) waits until all nodes serve.
    pub fn wait_until_ready(mut self, wait: bool) -> Self {
        self.node = self.node.wait_until_ready(wait);
        self
    }

    /// Starts the cluster and waits until all nodes serve and every replica is in sync.
    ///
    /// # Errors
    ///
    /// [`StartError`], which carries the last lines that a server, or each of them, logged.
    pub fn start(self) -> Result<Cluster, StartError> {
        let mut launch = self.node.clone().launch()?;
        for (option, value) in [
            ("--cluster-enabled", "yes"),
            ("--cluster-config-file", "nodes.conf"),
            ("--cluster-node-timeout", "500"),
            // However long a replica was without its primary, it may take over, ...
            ("--cluster-replica-validity-factor", "0"),
            // ... and meanwhile the other primaries go on.
            ("--cluster-require-full-coverage", "no"),
        ] {
            launch.set(option, value);
        }
        launch.hurry_replication();
        let cluster = ports::retried(|| self.start_nodes(&launch))?;
        group::wait_until_ready(&cluster.nodes, || cluster.is_ready())?;
        group::open_streams(&cluster.nodes)?;
        Ok(cluster)
    }

    fn start_nodes(&self, launch: &Launch) -> Result<Cluster, Refused> {
        let count = self.primaries * (1 + self.replicas_each);
        let free = ports::several(count, true).map_err(StartError::io("find free ports"))?;
        let proxies = if self.behind_proxies { &free[..] } else { &[] };
        let proxies =
            proxies.iter().map(|port| Proxy::to_addr((Ipv4Addr::LOCALHOST, *port).into()));
        let proxies: Vec<_> =
            proxies.collect::<Result<_, _>>().map_err(StartError::io("start a proxy"))?;
        let mut planned = Vec::new();
        for (at, port) in free.iter().enumerate() {
            planned.push(Planned {
                id: new_id().map_err(StartError::io("get randomness"))?,
                ports: (proxies.get(at).map_or(*port, Proxy::port), port + ports::TO_BUS),
                shard: at % self.primaries,
            });
        }
        let launches: Vec<_> = free
            .iter()
            .enumerate()
            .map(|(at, port)| {
                let mut launch = launch.clone();
                let shards = launch.binary.version >= (7, 2, 0);
                let conf = nodes_conf(&planned, self.primaries, at, shards);
                launch.files.push(("nodes.conf", conf));
                let (announced, bus) = planned[at].ports;
                if announced != *port {
                    launch.set("--cluster-announce-ip", "127.0.0.1");
                    launch.set("--cluster-announce-port", announced.to_string());
                    launch.set("--cluster-announce-bus-port", bus.to_string());
                }
                (launch, *port)
            })
            .collect();
        let nodes = group::start_all(&launches)?;
        let ids = planned.into_iter().map(|planned| planned.id).collect();
        Ok(Cluster { nodes, ids, proxies })
    }
}
