//! What a node of a cluster says of it, and what it is told before it starts.

use std::io;
use std::ops::RangeInclusive;

use super::super::Server;

pub(super) const SLOTS: u16 = 16_384;

/// What one node says of the cluster: its `CLUSTER NODES`.
#[derive(Debug)]
pub(super) struct View {
    nodes: Vec<Line>,
}

/// One node, as another or itself sees it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) myself: bool,
    pub(super) primary: bool,
    /// The primary that it is a replica of.
    pub(super) replica_of: String,
    pub(super) epoch: u64,
    slots: Vec<RangeInclusive<u16>>,
}

impl View {
    /// Asks a node.
    pub(super) fn of(node: &Server) -> io::Result<Self> {
        let reply = node.command(&["CLUSTER", "NODES"])?.or_refused()?;
        Self::parse(reply.text().unwrap_or_default())
    }

    fn parse(text: &str) -> io::Result<Self> {
        let nodes: Option<Vec<_>> = text.lines().map(Line::parse).collect();
        match nodes {
            Some(nodes) if nodes.iter().any(|line| line.myself) => Ok(Self { nodes }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("no nodes: {text}"))),
        }
    }

    /// What the node says of itself.
    pub(super) fn myself(&self) -> Option<&Line> {
        self.nodes.iter().find(|line| line.myself)
    }

    /// Who owns a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&Line> {
        self.nodes.iter().find(|line| line.slots.iter().any(|range| range.contains(&slot)))
    }

    /// Every owner of slots, with its slots: equal in views that agree.
    pub(super) fn owners(&self) -> Vec<(&str, &[RangeInclusive<u16>])> {
        let owners = self.nodes.iter().filter(|line| !line.slots.is_empty());
        let mut owners: Vec<_> = owners.map(|line| (&*line.id, &*line.slots)).collect();
        owners.sort_by_key(|(id, _)| *id);
        owners
    }

    /// How many slots have an owner.
    pub(super) fn owned(&self) -> usize {
        self.nodes.iter().flat_map(|line| &line.slots).map(|range| range.len()).sum()
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let flags: Vec<&str> = words.nth(1)?.split(',').collect();
        let replica_of = words.next()?.to_owned();
        let epoch = words.nth(2)?.parse().ok()?;
        // After the state of the link: a slot, a range, or in brackets one that is moving.
        let slots = words.skip(1).filter(|word| !word.is_empty() && !word.starts_with('['));
        let slots = slots.map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        Some(Self {
            id,
            myself: flags.contains(&"myself"),
            primary: flags.contains(&"master"),
            replica_of,
            epoch,
            slots: slots.collect::<Option<_>>()?,
        })
    }
}

/// A node of a cluster that is to start.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) id: String,
    /// The port clients are told, and that of the bus.
    pub(super) ports: (u16, u16),
    /// Which of the primaries it is, or is a replica of: the first nodes are the primaries.
    pub(super) shard: usize,
}

/// The `nodes.conf` of one node, which names all of them, so that none has to be introduced.
///
/// Servers from 7.2 on keep the nodes of a shard together, and one that is not told its own ends at the
/// first `SPUBLISH`: `shards` has each named by its primary.
pub(super) fn nodes_conf(nodes: &[Planned], primaries: usize, me: usize, shards: bool) -> String {
    let mut text = String::new();
    for (at, Planned { id, ports: (port, bus), shard }) in nodes.iter().enumerate() {
        let myself = if at == me { "myself," } else { "" };
        let epoch = shard + 1;
        let role = if at < primaries {
            format!("{myself}master - 0 0 {epoch} connected {}", range(*shard, primaries))
        } else {
            format!("{myself}slave {} 0 0 {epoch} connected", nodes[*shard].id)
        };
        let shard = match shards {
            true => format!(",,tls-port=0,shard-id={}", nodes[*shard].id),
            false => String::new(),
        };
        text.push_str(&format!("{id} 127.0.0.1:{port}@{bus}{shard} {role}\n"));
    }
    text.push_str(&format!("vars currentEpoch {primaries} lastVoteEpoch 0\n"));
    text
}

/// The slots of one of so many primaries, as a range of `CLUSTER NODES`.
fn range(primary: usize, primaries: usize) -> String {
    let first = |primary| usize::from(SLOTS) * primary / primaries;
    format!("{}-{}", first(primary), first(primary + 1) - 1)
}

#[cfg(test)]
mod tests {
    use super::{Planned, View, nodes_conf, range};

    #[test]
    fn a_view_and_who_owns_what_in_it() {
        let view = "a 127.0.0.1:1@2 myself,master - 0 0 7 connected 0-5 9 [8->-b]\n\
                    b 127.0.0.1:3@4,host slave,fail a 0 0 7 disconnected\n";
        let view = View::parse(view).expect("it is one");
        let owner = |slot| view.owner(slot).map(|line| (line.id.as_str(), line.epoch));
        assert_eq!((owner(5), owner(9), owner(8)), (Some(("a", 7)), Some(("a", 7)), None));
        assert_eq!(view.owned(), 7);
        assert_eq!(view.owners(), [("a", &[0..=5, 9..=9][..])]);
        assert!(view.myself().is_some_and(|line| line.primary && line.id == "a"));
        assert!(view.nodes[1].replica_of == "a" && !view.nodes[1].primary);
        assert!(View::parse("").is_err() && View::parse("a b c").is_err());
    }

    #[test]
    fn a_written_view_is_read_as_it_was_meant() {
        assert_eq!([range(0, 3), range(2, 3)], ["0-5460", "10922-16383"]);
        let planned = |id: &str, shard| Planned { id: id.into(), ports: (1, 2), shard };
        let nodes = [planned("p", 0), planned("q", 1), planned("r", 1)];
        let conf = nodes_conf(&nodes, 2, 2, true);
        let (nodes, vars) = conf.trim_end().rsplit_once('\n').expect("it has lines");
        assert_eq!(vars, "vars currentEpoch 2 lastVoteEpoch 0");
        let view = View::parse(nodes).expect("it is one");
        assert_eq!((view.nodes.len(), view.owned()), (3, 16_384));
        assert!(view.myself().is_some_and(|line| line.id == "r" && line.replica_of == "q"));
    }
}
