//! What the tests of behaviour run on: a server, the primary that Sentinels name, or a cluster.
//!
//! `REDIS_TARGET` chooses: `standalone`, which is the default, `sentinel` or `cluster`. Tests are the
//! same on all of them: keys of one call share a hash tag, and what other software would do is asked
//! of the server that has the key.
//!
//! With `REDIS_USER=least-privilege` handles log in as the user of `examples/least-privilege.acl`.

use std::env;
use std::io;
use std::ops::Deref;
use std::sync::OnceLock;
use std::time::Duration;

use auth_adapter_redis::testing::{Cluster, Data, Proxy, Reply, SentinelGroup, Server};

use super::{HANG, least_privilege, set};

/// Nobody is found dead within this, so that a busy machine brings no failover about.
const CALM: Duration = Duration::from_secs(3600);
/// The same for the nodes of a cluster, in milliseconds.
const CALM_CLUSTER: [&str; 2] = ["--cluster-node-timeout", "60000"];

/// What a handle can be made on, and what can be asked as other software would ask it.
///
/// An [`Own`] that is passed as one is not taken for its server.
pub trait Place {
    fn url(&self) -> String;
    fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply>;
}

/// What all tests of a binary have together that do not mind each other. On a cluster the keys lie
/// on three primaries.
pub struct Shared(Topology);

/// A test's own: one server that has all the data, and what leads to it. It is used as that
/// server, but for its URL.
pub struct Own(Topology);

enum Topology {
    Standalone(Box<Server>, Option<Proxy>),
    Sentinel(SentinelGroup),
    Cluster(Cluster),
}

#[derive(Clone, Copy)]
pub enum Kind {
    Standalone,
    Sentinel,
    Cluster,
}

/// The one that `REDIS_TARGET` names.
pub fn kind() -> Kind {
    let name = env::var_os("REDIS_TARGET").map(|name| name.to_string_lossy().into_owned());
    match name.as_deref() {
        None | Some("standalone") => Kind::Standalone,
        Some("sentinel") => Kind::Sentinel,
        Some("cluster") => Kind::Cluster,
        Some(name) => panic!("REDIS_TARGET={name} is none of standalone, sentinel and cluster"),
    }
}

pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        Shared(match kind() {
            Kind::Standalone => {
                let server = Server::builder().acl(users("~myapp:*"));
                Topology::Standalone(Box::new(started(server.start())), None)
            }
            Kind::Sentinel => {
                let group = SentinelGroup::builder().replicas(1).sentinels(3).down_after(CALM);
                Topology::Sentinel(started(group.acl(users("~myapp:*")).start()))
            }
            Kind::Cluster => {
                let cluster = Cluster::builder().primaries(3).replicas_each(0).args(CALM_CLUSTER);
                Topology::Cluster(started(cluster.acl(users("~myapp:*")).start()))
            }
        })
    })
}

pub fn own() -> Own {
    own_with(&[])
}

/// With more arguments for the server.
pub fn own_with(args: &[&str]) -> Own {
    Settings { args, behind_proxy: false, wait_until_ready: true }.start()
}

/// The same, with a [`Server::restart`] that does not wait until the data is loaded.
pub fn own_unready_with(args: &[&str]) -> Own {
    Settings { args, behind_proxy: false, wait_until_ready: false }.start()
}

/// The way to the server leads through a proxy, for handles and for Sentinels.
pub fn own_behind_proxy() -> Own {
    Settings { args: &[], behind_proxy: true, wait_until_ready: true }.start()
}

/// How a test's own is started.
struct Settings<'a> {
    args: &'a [&'a str],
    behind_proxy: bool,
    wait_until_ready: bool,
}

impl Settings<'_> {
    fn start(self) -> Own {
        Own(match kind() {
            Kind::Standalone => self.standalone(),
            Kind::Sentinel => self.sentinel(),
            Kind::Cluster => self.cluster(),
        })
    }

    fn standalone(self) -> Topology {
        let builder = Server::builder().args(self.args).acl(users("~*"));
        let builder = builder.wait_until_ready(self.wait_until_ready);
        let server = started(builder.start());
        let proxy = self.behind_proxy.then(|| Proxy::to(&server).unwrap());
        Topology::Standalone(Box::new(server), proxy)
    }

    fn sentinel(self) -> Topology {
        let builder = SentinelGroup::builder().replicas(0).sentinels(1).down_after(CALM);
        let builder = builder.args(self.args).acl(users("~*"));
        let builder = builder.wait_until_ready(self.wait_until_ready);
        let builder = if self.behind_proxy { builder.primary_behind_proxy() } else { builder };
        Topology::Sentinel(started(builder.start()))
    }

    fn cluster(self) -> Topology {
        let builder = Cluster::builder().primaries(1).replicas_each(0).args(self.args);
        let builder = builder.acl(users("~*")).wait_until_ready(self.wait_until_ready);
        let builder = if self.behind_proxy { builder.behind_proxies() } else { builder };
        Topology::Cluster(started(builder.start()))
    }
}

fn has_least_privilege() -> bool {
    match env::var("REDIS_USER").ok().as_deref() {
        None | Some("") => false,
        Some("least-privilege") => true,
        Some(name) => panic!("REDIS_USER={name} is not least-privilege"),
    }
}

/// The users of a server. A test that has a server for itself may use other keys than `myapp:*`.
fn users(keys: &str) -> String {
    match has_least_privilege() {
        true => least_privilege("least-privilege.acl")
            .replace("~myapp:*", keys)
            .replace("&myapp:*", &keys.replace('~', "&")),
        false => "user default on nopass ~* &* +@all".to_owned(),
    }
}

/// A failure in its own words: without a server program that is one line.
#[track_caller]
fn started<T>(outcome: Result<T, impl std::fmt::Display>) -> T {
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

impl Topology {
    fn url(&self) -> String {
        let url = match self {
            Self::Standalone(server, None) => server.url(),
            Self::Standalone(_, Some(proxy)) => proxy.url(),
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
        };
        match has_least_privilege() {
            true => url.replace("://", "://auth:pw@"),
            false => url,
        }
    }
}

impl Shared {
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Goes to the server that has the key, which is the second word, or a script's first.
    pub fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        match &self.0 {
            Topology::Standalone(server, _) => server.command(words),
            Topology::Sentinel(group) => group.command(words),
            Topology::Cluster(cluster) => cluster.command(words),
        }
    }
}

impl Own {
    /// Where handles are to go, through the proxy if there is one.
    pub fn url(&self) -> String {
        self.0.url()
    }

    pub fn proxy(&self) -> &Proxy {
        let proxy = match &self.0 {
            Topology::Standalone(_, proxy) => proxy.as_ref(),
            Topology::Sentinel(group) => group.proxy(),
            Topology::Cluster(cluster) => cluster.proxies().first(),
        };
        proxy.expect("it was started behind one")
    }

    /// Restarts the server and waits until it serves: a cluster's node does so two seconds later.
    pub fn restart(&self, data: Data) {
        Server::restart(self, data).unwrap();
        if let Topology::Cluster(cluster) = &self.0 {
            cluster.wait_until_settled(HANG).unwrap();
        }
    }

    /// From now on it answers what reads and refuses what writes: it is the replica of a primary that
    /// is not there, or of a cluster that has lost a slot.
    pub fn refuse_writes(&self) {
        if let Topology::Cluster(_) = &self.0 {
            set(self, "cluster-require-full-coverage", "yes");
            set(self, "cluster-allow-reads-when-down", "yes");
            self.command(&["CLUSTER", "DELSLOTS", "0"]).unwrap();
        } else {
            let gone = Server::start().unwrap();
            let port = gone.port().to_string();
            drop(gone);
            self.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
        }
        let told = self.command(&["SET", "k", "v"]).unwrap();
        let told = told.error().expect("it refuses to write");
        assert!(
            told.starts_with("READONLY") || told.ends_with("only accepts read commands"),
            "{told}"
        );
    }
}

impl Deref for Own {
    type Target = Server;

    fn deref(&self) -> &Server {
        match &self.0 {
            Topology::Standalone(server, _) => server,
            Topology::Sentinel(group) => &group.servers()[0],
            Topology::Cluster(cluster) => &cluster.nodes()[0],
        }
    }
}

impl Place for Shared {
    fn url(&self) -> String {
        self.url()
    }

    fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        self.command(words)
    }
}

impl Place for Own {
    fn url(&self) -> String {
        self.url()
    }

    fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        Server::command(self, words)
    }
}

impl Place for Server {
    fn url(&self) -> String {
        self.url()
    }

    fn command<W: AsRef<[u8]>>(&self, words: &[W]) -> io::Result<Reply> {
        self.command(words)
    }
}
