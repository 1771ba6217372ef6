//! A command on its way to the node that serves it.

use std::io;
use std::time::Duration;

use super::super::group::{ask_until, invalid};
use super::super::{Reply, Server};
use super::Cluster;

/// How long a slot may have nobody to serve it: longer than a failover takes.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

impl Cluster {
    /// Sends one command to the node that serves its key, as a client of a cluster does, and gives
    /// the reply, which may be an error reply.
    ///
    /// The key is the second word; of `EVAL`, `EVALSHA`, `FCALL` and their `_RO` forms it is the
    /// first of their keys. A command without one goes to the first primary that answers. `MOVED`
    /// and `ASK` are followed. While the answer is `TRYAGAIN` or `CLUSTERDOWN`, or the slot's
    /// primary is down, the command is tried again, for five seconds at most.
    ///
    /// # Errors
    ///
    /// When no node serves the key within that time, or one does not answer.
    pub fn command(&self, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        let key = first_key(words);
        let mut last = None;
        let answer = ask_until(SERVED_WITHIN, || {
            let node = match key {
                Some(key) => self.primary_of_key(key),
                None => self.any_primary(),
            };
            let reply = match node.and_then(|node| self.follow(node, words)) {
                Err(error) if sent_nothing(&error) => return Err(error.to_string()),
                other => other,
            };
            match reply.as_ref().ok().and_then(Reply::error) {
                Some(error) if is_temporary(error) => {
                    let text = error.to_owned();
                    last = reply.ok();
                    Err(text)
                }
                _ => Ok(reply),
            }
        });
        match (answer, last) {
            (Ok(reply), _) => reply,
            (Err(_), Some(last)) => Ok(last),
            (Err(error), None) => Err(error),
        }
    }

    /// Sends a command to a node, and to those it is sent on to.
    fn follow(&self, node: &Server, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
        let mut node = node;
        let mut first: &[&[&str]] = &[];
        // As many as there are nodes, for they may disagree for a moment.
        for _ in 0..=self.nodes.len() {
            let reply = node.command_after(first, words)?;
            let error = reply.error().unwrap_or_default();
            first = match error.split(' ').next() {
                Some("MOVED") => &[],
                Some("ASK") => &[&["ASKING"]],
                _ => return Ok(reply),
            };
            node = self.node_told(error)?;
        }
        Err(nowhere("the nodes send it from one to another"))
    }

    /// The node of `MOVED 1234 127.0.0.1:6379`.
    fn node_told(&self, error: &str) -> io::Result<&Server> {
        let port = error.rsplit(':').next().and_then(|port| port.parse().ok());
        let told = port.and_then(|port: u16| {
            let behind = self.proxies.iter().position(|proxy| proxy.port() == port);
            behind.or_else(|| self.nodes.iter().position(|node| node.port() == port))
        });
        told.map(|at| &self.nodes[at]).ok_or_else(|| nowhere(error))
    }

    fn any_primary(&self) -> io::Result<&Server> {
        let primaries = self.primaries()?;
        primaries.into_iter().find(|node| node.answers()).ok_or_else(|| nowhere("no primary"))
    }
}

fn first_key<W: AsRef<[u8]>>(words: &[W]) -> Option<&[u8]> {
    let command = words.first()?.as_ref().to_ascii_uppercase();
    let has_script = ["EVAL", "EVALSHA", "FCALL", "EVAL_RO", "EVALSHA_RO", "FCALL_RO"]
        .iter()
        .any(|name| name.as_bytes() == command);
    if !has_script {
        return words.get(1).map(AsRef::as_ref);
    }
    let has_keys = words.get(2).is_some_and(|count| count.as_ref() != b"0");
    words.get(3).filter(|_| has_keys).map(AsRef::as_ref)
}

fn is_temporary(error: &str) -> bool {
    ["TRYAGAIN", "CLUSTERDOWN"].iter().any(|code| error.starts_with(code))
}

/// Whether nobody was there to take the command.
fn sent_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotConnected, NotFound};
    // A server that is down leaves its socket, unless it lost its directory as well.
    matches!(error.kind(), ConnectionRefused | NotConnected | NotFound)
}

/// The error for a command that no node is known to serve, which a later try may find.
pub(super) fn nowhere(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, text)
}

/// The error for a server of another cluster.
pub(super) fn not_of_this() -> io::Error {
    invalid("the server is no node of this cluster")
}

#[cfg(test)]
mod tests {
    use super::first_key;

    #[test]
    fn the_first_key() {
        let key = |line: &'static str| {
            let words: Vec<_> = line.split(' ').collect();
            first_key(&words).map(|key| String::from_utf8_lossy(key).into_owned())
        };
        assert_eq!(key("GET k").as_deref(), Some("k"));
        assert_eq!(key("evalsha 12ab 2 k l").as_deref(), Some("k"));
        assert_eq!(key("FCALL f 1 k x").as_deref(), Some("k"));
        assert_eq!(key("EVAL script 0 x"), None);
        assert_eq!(key("PING"), None);
    }
}
