//! A private cluster of a test.

mod builder;
mod migration;
mod route;
mod view;

use std::io;
use std::time::Duration;

use super::{Proxy, Server, StartError, group};
use route::{not_of_this, nowhere};
use view::{SLOTS, View};

pub use builder::ClusterBuilder;
pub use migration::Move;

/// A real cluster of a test's own: three primaries with a replica each unless told otherwise, gone
/// with all its files when dropped or when the test process ends.
///
/// It starts in about two seconds: a primary does not serve before. Each node is a [`Server`], and
/// is killed, paused and restarted as one. The nodes notice within half a second that one is gone,
/// and its replica takes over about a second later.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::{Cluster, Data};
/// use std::time::Duration;
///
/// let cluster = Cluster::start()?;
/// assert_eq!(cluster.command(&["SET", "k", "v"])?.text(), Some("OK"));
///
/// let primary = cluster.primary_of_key("k")?;
/// primary.kill()?;
/// cluster.wait_until_settled(Duration::from_secs(20))?;
/// assert_ne!(cluster.primary_of_key("k")?.port(), primary.port());
///
/// primary.restart(Data::Lost)?; // and it comes back as a replica
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    /// The nodes' names for themselves, in the same order.
    ids: Vec<String>,
    /// One for each node, or none.
    proxies: Vec<Proxy>,
}

impl Cluster {
    /// Starts a cluster of three primaries with one replica each.
    ///
    /// # Errors
    ///
    /// [`StartError`]; its text is one line if there is no server program.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Starts a cluster of another shape.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// `redis+cluster://127.0.0.1:PORT,127.0.0.1:PORT,…` with all nodes, or with their proxies.
    pub fn url(&self) -> String {
        let addrs: Vec<_> = if self.proxies.is_empty() {
            self.nodes.iter().map(|node| node.addr().to_string()).collect()
        } else {
            self.proxies.iter().map(|proxy| proxy.addr().to_string()).collect()
        };
        format!("redis+cluster://{}", addrs.join(","))
    }

    /// All nodes: first those that were started as primaries, in the order of their slots, then
    /// the first replica of each, and so on.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The proxies before the nodes, in the same order, or none; see
    /// [`behind_proxies`](ClusterBuilder::behind_proxies).
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// The slot of a key, as a node tells it.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub fn slot(&self, key: impl AsRef<[u8]>) -> io::Result<u16> {
        let node =
            self.nodes.iter().find(|node| node.answers()).ok_or_else(|| nowhere("no node"))?;
        let slot = node.command(&[b"CLUSTER", &b"KEYSLOT"[..], key.as_ref()])?.or_refused()?;
        slot.int().and_then(|slot| slot.try_into().ok()).ok_or_else(|| nowhere("no slot"))
    }

    /// The primary of a slot: what the primaries that answer say, and of that what has the newest
    /// epoch, so that it is right during and after a failover.
    ///
    /// While a primary is down and no replica has taken over, it is still that one.
    ///
    /// # Errors
    ///
    /// When no node answers, or nobody owns the slot.
    pub fn primary_of_slot(&self, slot: u16) -> io::Result<&Server> {
        let views = self.views()?;
        let owner = newest_owner(&views, slot).and_then(|id| self.node(id));
        owner.ok_or_else(|| nowhere("nobody owns the slot"))
    }

    /// The primary of a key's slot; see [`primary_of_slot`](Self::primary_of_slot).
    ///
    /// # Errors
    ///
    /// As [`primary_of_slot`](Self::primary_of_slot).
    pub fn primary_of_key(&self, key: impl AsRef<[u8]>) -> io::Result<&Server> {
        self.primary_of_slot(self.slot(key)?)
    }

    /// All that own slots, in the order of [`nodes`](Self::nodes).
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub fn primaries(&self) -> io::Result<Vec<&Server>> {
        let views = self.views()?;
        let mut owners: Vec<_> = (0..SLOTS).filter_map(|slot| newest_owner(&views, slot)).collect();
        owners.sort_unstable();
        owners.dedup();
        let owns = |id: &String| owners.binary_search(&id.as_str()).is_ok();
        Ok(self.nodes.iter().zip(&self.ids).filter(|(_, id)| owns(id)).map(|(n, _)| n).collect())
    }

    /// The nodes that answer and say they are replicas of this one.
    ///
    /// # Errors
    ///
    /// When no node answers, or the server is of another cluster.
    pub fn replicas_of(&self, primary: &Server) -> io::Result<Vec<&Server>> {
        let id = self.id_of(primary)?;
        let views = self.views()?;
        let lines = views.iter().filter_map(View::myself).filter(|line| line.replica_of == id);
        Ok(lines.filter_map(|line| self.node(&line.id)).collect())
    }

    /// How often clients and scripts have called a command, over the nodes that run and say they
    /// are primaries: a replica counts its primary's changes as calls too.
    ///
    /// # Panics
    ///
    /// As [`Server::command_calls`].
    pub fn command_calls(&self, name: &str) -> u64 {
        group::calls_on_primaries(&self.nodes, name)
    }

    /// Makes every node that runs forget its scripts.
    ///
    /// # Errors
    ///
    /// As [`Server::flush_scripts`].
    pub fn flush_scripts(&self) -> io::Result<()> {
        group::flush_scripts(&self.nodes)
    }

    /// Waits until all nodes that run agree on who owns which slot, the owners run, and every node
    /// says the cluster is well.
    ///
    /// After a primary was killed or paused this is when a replica has taken over.
    ///
    /// # Errors
    ///
    /// When that is not so within that time; the text says what is lacking.
    pub fn wait_until_settled(&self, within: Duration) -> io::Result<()> {
        group::ask_until(within, || self.is_settled())
    }

    fn is_settled(&self) -> Result<(), String> {
        let views = self.views().map_err(|error| error.to_string())?;
        let first = &views[0];
        if first.owned() != usize::from(SLOTS) {
            return Err(format!("{} slots have an owner", first.owned()));
        }
        if views.iter().any(|view| view.owners() != first.owners()) {
            return Err(format!("the nodes disagree: {views:?}"));
        }
        for (owner, _) in first.owners() {
            if !self.node(owner).is_some_and(Server::answers) {
                return Err(format!("{owner} owns slots and does not run"));
            }
        }
        for node in self.nodes.iter().filter(|node| node.answers()) {
            let info = node.command(&["CLUSTER", "INFO"]).map_err(|error| error.to_string())?;
            if !info.text().is_some_and(|info| info.contains("cluster_state:ok")) {
                return Err(format!("port {} says {info:?}", node.port()));
            }
        }
        Ok(())
    }

    /// Settled, and every replica is in sync.
    fn is_ready(&self) -> Result<(), String> {
        self.is_settled()?;
        group::replicas_in_sync(&self.nodes)
    }

    /// What the nodes that answer say.
    fn views(&self) -> io::Result<Vec<View>> {
        let asked = self.nodes.iter().filter(|node| node.answers());
        // One may have been killed a moment ago.
        let views: Vec<_> = asked.filter_map(|node| View::of(node).ok()).collect();
        if views.is_empty() { Err(nowhere("no node answers")) } else { Ok(views) }
    }

    fn node(&self, id: &str) -> Option<&Server> {
        self.ids.iter().position(|known| known == id).map(|at| &self.nodes[at])
    }

    fn id_of(&self, server: &Server) -> io::Result<&str> {
        let at = self.nodes.iter().position(|node| node.port() == server.port());
        at.map(|at| &*self.ids[at]).ok_or_else(not_of_this)
    }
}

/// Who owns a slot: what primaries say counts, since a replica hears of a moved slot later.
fn newest_owner(views: &[View], slot: u16) -> Option<&str> {
    let says_primary = |view: &&View| view.myself().is_some_and(|line| line.primary);
    let owners = |primaries_only: bool| {
        views
            .iter()
            .filter(move |view| !primaries_only || says_primary(view))
            .filter_map(move |view| view.owner(slot))
            .max_by_key(|line| line.epoch)
    };
    owners(true).or_else(|| owners(false)).map(|line| &*line.id)
}
