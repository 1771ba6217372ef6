//! The groups that lose a primary.

use auth_adapter_redis::testing::{Cluster, Reply, SentinelGroup, Server};

/// A group of its own, fresh and well.
pub enum Stage {
    Sentinel(SentinelGroup),
    Cluster(Cluster),
}

impl Stage {
    /// A primary, two replicas and three Sentinels.
    pub fn sentinel() -> Self {
        Self::Sentinel(SentinelGroup::start().unwrap())
    }

    /// Three primaries with a replica each.
    pub fn cluster() -> Self {
        Self::Cluster(Cluster::start().unwrap())
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sentinel(group) => group.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// The primary that is to die: the first that was started.
    pub fn victim(&self) -> &Server {
        &self.servers()[0]
    }

    /// Those that can take its place.
    pub fn heirs(&self) -> Vec<&Server> {
        match self {
            Self::Sentinel(group) => group.servers()[1..].iter().collect(),
            Self::Cluster(cluster) => cluster.replicas_of(self.victim()).unwrap(),
        }
    }

    /// The primaries that live on.
    pub fn others(&self) -> Vec<&Server> {
        match self {
            Self::Sentinel(_) => Vec::new(),
            Self::Cluster(cluster) => cluster.primaries().unwrap().split_off(1),
        }
    }

    /// A hash tag for each primary, the victim's first.
    pub fn tags(&self) -> Vec<String> {
        let Self::Cluster(cluster) = self else { return vec!["tag".to_owned()] };
        let primaries = cluster.primaries().unwrap();
        let tag = |primary: &&Server| {
            let serves =
                |tag: &String| cluster.primary_of_key(tag).unwrap().port() == primary.port();
            (0..).map(|at| format!("tag{at}")).find(serves).unwrap()
        };
        primaries.iter().map(tag).collect()
    }

    /// Whether one of those that clients ask names this port as the primary's: a Sentinel, or another
    /// primary.
    pub fn names(&self, port: u16) -> bool {
        let is_port = |word: &Reply| {
            word.int() == Some(port.into()) || word.text() == Some(&*port.to_string())
        };
        let named = |reply: Reply| match self {
            Self::Sentinel(_) => reply.array().is_some_and(|words| words.iter().any(is_port)),
            Self::Cluster(_) => reply.array().is_some_and(|ranges| {
                ranges
                    .iter()
                    .filter_map(|range| range.array()?.get(2)?.array()?.get(1))
                    .any(is_port)
            }),
        };
        let (asked, words): (Vec<_>, _) = match self {
            Self::Sentinel(group) => {
                let words = vec!["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group.service()];
                (group.sentinels().iter().collect(), words)
            }
            Self::Cluster(cluster) => {
                let others = cluster.nodes().iter().filter(|node| node.port() != port);
                let others = others.filter(|node| node.port() != self.victim().port());
                (others.collect(), vec!["CLUSTER", "SLOTS"])
            }
        };
        asked.iter().any(|server| server.command(&words).is_ok_and(named))
    }

    pub fn server_at(&self, port: u16) -> &Server {
        self.servers().iter().find(|server| server.port() == port).unwrap()
    }

    fn servers(&self) -> &[Server] {
        match self {
            Self::Sentinel(group) => group.servers(),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }
}
