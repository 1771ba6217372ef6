//! A private primary, its replicas, and the Sentinels that look after them.

mod builder;
mod hurry;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::{Proxy, Reply, Server, StartError, group};

pub use builder::SentinelGroupBuilder;

/// The name the Sentinels know the primary by.
const SERVICE: &str = "primary";

/// A real primary with two replicas and three Sentinels, or as many as asked for: a test's own,
/// gone with all its files when dropped or when the test process ends.
///
/// Data servers and Sentinels are [`Server`]s, and are killed, paused and restarted as such. A
/// primary that is gone is replaced in one to four seconds.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::SentinelGroup;
/// use std::time::Duration;
///
/// let group = SentinelGroup::start()?;
/// assert_eq!(group.command(&["SET", "k", "v"])?.text(), Some("OK"));
///
/// let primary = group.primary()?;
/// primary.kill()?;
/// let promoted = group.wait_for_primary_other_than(primary, Duration::from_secs(20))?;
/// assert_ne!(promoted.port(), primary.port());
/// assert_eq!(group.command(&["SET", "k", "w"])?.text(), Some("OK"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SentinelGroup {
    // Before the servers, so that nobody makes a failover of the end.
    sentinels: Vec<Server>,
    servers: Vec<Server>,
    proxy: Option<Proxy>,
}

impl SentinelGroup {
    /// Starts a primary, two replicas and three Sentinels.
    ///
    /// # Errors
    ///
    /// [`StartError`]; its text is one line if there is no server program.
    pub fn start() -> Result<Self, StartError> {
        Self::builder().start()
    }

    /// Starts a group of another shape.
    pub fn builder() -> SentinelGroupBuilder {
        SentinelGroupBuilder::new()
    }

    /// `redis+sentinel://127.0.0.1:PORT,127.0.0.1:PORT,…/primary` with all Sentinels.
    pub fn url(&self) -> String {
        let addrs: Vec<_> = self.sentinels.iter().map(|node| node.addr().to_string()).collect();
        format!("redis+sentinel://{}/{SERVICE}", addrs.join(","))
    }

    /// The name the Sentinels know the primary by: `primary`.
    pub fn service(&self) -> &str {
        SERVICE
    }

    /// The data servers: first the one that was started as the primary.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The Sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The proxy before the first server, if there is one; see
    /// [`primary_behind_proxy`](SentinelGroupBuilder::primary_behind_proxy).
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The present primary: what a majority of the Sentinels that run says.
    ///
    /// While a primary is down and no replica has taken over, it is still that one.
    ///
    /// # Errors
    ///
    /// When no Sentinel answers, or they disagree.
    pub fn primary(&self) -> io::Result<&Server> {
        let mut votes = HashMap::new();
        let mut voters = 0;
        for sentinel in self.sentinels.iter().filter(|sentinel| sentinel.answers()) {
            voters += 1;
            let reply = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
            // One may have been killed a moment ago.
            let Ok(reply) = reply else { continue };
            let port = reply.array().and_then(|addr| addr.get(1)?.text()?.parse().ok());
            if let Some(at) = port.and_then(|port| self.server_at(port)) {
                *votes.entry(at).or_insert(0) += 1;
            }
        }
        let majority = votes.into_iter().find(|(_, count)| *count * 2 > voters);
        majority.map(|(at, _)| &self.servers[at]).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotConnected, "no majority of Sentinels names a primary")
        })
    }

    /// Has the Sentinels replace the primary, though nothing is wrong with it.
    ///
    /// # Errors
    ///
    /// When no Sentinel runs, or it refuses: no replica is fit, or a failover is under way.
    pub fn failover(&self) -> io::Result<()> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.answers());
        let sentinel = sentinel.ok_or_else(super::watchdog::not_running)?;
        sentinel.command(&["SENTINEL", "FAILOVER", SERVICE])?.or_refused().map(drop)
    }

    /// Waits until the Sentinels name another primary than this, and that one agrees.
    ///
    /// # Errors
    ///
    /// When that is not so within that time.
    pub fn wait_for_primary_other_than(
        &self,
        last: &Server,
        within: Duration,
    ) -> io::Result<&Server> {
        group::ask_until(within, || {
            let primary = self.primary().map_err(|error| error.to_string())?;
            if primary.port() == last.port() {
                return Err(format!("port {} is the primary", last.port()));
            }
            is_primary(primary)?;
            Ok(primary)
        })
    }

    /// Waits until all Sentinels that run name the same primary, find nothing wrong with it, with
    /// each other or with the replicas that run, and those are in sync with it.
    ///
    /// # Errors
    ///
    /// When that is not so within that time; the text says what is lacking.
    pub fn wait_until_settled(&self, within: Duration) -> io::Result<()> {
        group::ask_until(within, || self.is_settled())
    }

    /// Sends one command to the present [`primary`](Self::primary) and gives the reply, which may
    /// be an error reply.
    ///
    /// # Errors
    ///
    /// As [`primary`](Self::primary) and [`Server::command`].
    pub fn command(&self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        self.primary()?.command(words)
    }

    /// How often clients and scripts have called a command, over the data servers that run and say
    /// they are primaries: a replica counts its primary's changes as calls too.
    ///
    /// # Panics
    ///
    /// As [`Server::command_calls`].
    pub fn command_calls(&self, name: &str) -> u64 {
        group::calls_on_primaries(&self.servers, name)
    }

    /// Makes every data server that runs forget its scripts.
    ///
    /// # Errors
    ///
    /// As [`Server::flush_scripts`].
    pub fn flush_scripts(&self) -> io::Result<()> {
        group::flush_scripts(&self.servers)
    }

    fn is_settled(&self) -> Result<(), String> {
        let primary = self.primary().map_err(|error| error.to_string())?;
        is_primary(primary)?;
        let replicas = self.servers.iter().filter(|server| server.port() != primary.port());
        let replicas: Vec<_> = replicas.filter(|server| server.answers()).collect();
        for replica in &replicas {
            let followed = group::replication(replica, "master_port")?;
            let followed = followed.and_then(|port| self.server_at(port.parse().ok()?));
            if followed.is_none_or(|at| self.servers[at].port() != primary.port()) {
                return Err(format!(
                    "port {} follows {followed:?} {:?}",
                    replica.port(),
                    replica.log()
                ));
            }
        }
        group::replicas_in_sync(&self.servers)?;
        let running = self.sentinels.iter().filter(|sentinel| sentinel.answers());
        let running: Vec<_> = running.collect();
        for sentinel in &running {
            let others = running.iter().filter(|other| other.port() != sentinel.port());
            self.finds_well(sentinel, "MASTERS", "master", &[primary])?;
            self.finds_well(sentinel, "REPLICAS", "slave", &replicas)?;
            self.finds_well(
                sentinel,
                "SENTINELS",
                "sentinel",
                &others.copied().collect::<Vec<_>>(),
            )?;
        }
        Ok(())
    }

    /// Whether a Sentinel lists these servers, each as such a one and none as down.
    fn finds_well(
        &self,
        sentinel: &Server,
        list: &str,
        flag: &str,
        servers: &[&Server],
    ) -> Result<(), String> {
        let words = ["SENTINEL", list, SERVICE];
        let words = if list == "MASTERS" { &words[..2] } else { &words[..] };
        let reply = sentinel.command(words).map_err(|error| error.to_string())?;
        let listed = reply.array().unwrap_or_default();
        let well = |port: u16| {
            listed.iter().any(|entry| {
                let listed = field(entry, "port").and_then(|port| port.parse().ok());
                let proxied = listed.and_then(|port| self.server_at(port));
                let listed = proxied.map(|at| self.servers[at].port()).or(listed);
                listed == Some(port)
                    && field(entry, "flags").is_some_and(|flags| is_well(flags, flag))
            })
        };
        match servers.iter().find(|server| !well(server.port())) {
            Some(server) => {
                let at = |entry: &Reply| {
                    format!("{:?} {:?}", field(entry, "port"), field(entry, "flags"))
                };
                let found: Vec<_> = listed.iter().map(at).collect();
                let (sentinel, port) = (sentinel.port(), server.port());
                Err(format!("Sentinel {sentinel} does not find {list} {port} well: {found:?}"))
            }
            None => Ok(()),
        }
    }

    /// Which data server is known by a port, its own or its proxy's.
    fn server_at(&self, port: u16) -> Option<usize> {
        if self.proxy.as_ref().is_some_and(|proxy| proxy.port() == port) {
            return Some(0);
        }
        self.servers.iter().position(|server| server.port() == port)
    }
}

fn is_primary(server: &Server) -> Result<(), String> {
    let role = server.command(&["ROLE"]).map_err(|error| error.to_string())?;
    match role.array().and_then(|role| role.first()?.text()) {
        Some("master") => Ok(()),
        _ => Err(format!("port {} says {role:?}", server.port())),
    }
}

/// Whether the flags are those of such a server that is reached. What a Sentinel last said of a
/// primary that was down, `master_down`, may be among them for ever.
fn is_well(flags: &str, wanted: &str) -> bool {
    let mut flags = flags.split(',');
    flags.clone().any(|flag| flag == wanted)
        && !flags.any(|flag| ["s_down", "o_down", "disconnected"].contains(&flag))
}

/// A field of what a Sentinel tells of a server: names and values in turn.
fn field<'a>(entry: &'a Reply, name: &str) -> Option<&'a str> {
    let mut pairs = entry.array()?.chunks_exact(2);
    pairs.find(|pair| pair[0].text() == Some(name))?[1].text()
}
