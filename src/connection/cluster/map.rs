//! Which primary serves which slot.

use std::sync::Arc;

use redis::Value;

use super::super::address::Address;
use super::super::dial::text;
use super::Node;

pub(super) const SLOTS: usize = 16384;
const NOBODY: u16 = u16::MAX;

/// The slots of a cluster, as one of its nodes told them and redirections corrected them since.
#[derive(Clone)]
pub(super) struct SlotMap {
    /// For each slot an index into `primaries`.
    owners: Box<[u16]>,
    primaries: Vec<Arc<Node>>,
    /// Whom redirections named and no slot belongs to: they take their first slot over.
    guests: Vec<Arc<Node>>,
    replicas: Vec<Address>,
}

/// Slots in a row, their primary, and its replicas.
#[derive(Debug, PartialEq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) nodes: Vec<Address>,
}

impl SlotMap {
    /// `open` gives the node at an address.
    pub(super) fn new(ranges: Vec<Range>, mut open: impl FnMut(Address) -> Arc<Node>) -> Self {
        let mut map = Self {
            owners: vec![NOBODY; SLOTS].into(),
            primaries: Vec::new(),
            guests: Vec::new(),
            replicas: Vec::new(),
        };
        for range in ranges {
            let mut nodes = range.nodes.into_iter();
            let Some(primary) = nodes.next() else { continue };
            let known = map.primaries.iter().position(|node| node.address == primary);
            let owner = known.unwrap_or_else(|| {
                map.primaries.push(open(primary));
                map.primaries.len() - 1
            });
            let slots = usize::from(range.first)..=usize::from(range.last);
            map.owners[slots].fill(owner as u16);
            map.replicas.extend(nodes);
        }
        map.replicas.sort();
        map.replicas.dedup();
        map
    }

    /// The primary of a slot; any, where a call has none.
    pub(super) fn serving(&self, slot: Option<u16>) -> Option<Arc<Node>> {
        let node = match slot {
            Some(slot) => self.primaries.get(usize::from(self.owners[usize::from(slot)])),
            None => {
                let mut up = self.primaries.iter().filter(|node| node.link.is_up());
                up.next().or(self.primaries.first())
            }
        };
        node.cloned()
    }

    pub(super) fn primaries(&self) -> &[Arc<Node>] {
        &self.primaries
    }

    /// The node at an address, if there is a link to it.
    pub(super) fn node(&self, address: &Address) -> Option<Arc<Node>> {
        let mut nodes = self.primaries.iter().chain(&self.guests);
        nodes.find(|node| node.address == *address).cloned()
    }

    pub(super) fn guests(&self) -> &[Arc<Node>] {
        &self.guests
    }

    pub(super) fn replicas(&self) -> &[Address] {
        &self.replicas
    }

    /// Whether every slot has a primary.
    pub(super) fn is_complete(&self) -> bool {
        !self.owners.contains(&NOBODY)
    }

    /// Whether every slot has a primary, and all of these are connected.
    pub(super) fn is_settled(&self) -> bool {
        self.is_complete() && self.primaries.iter().all(|node| node.link.is_up())
    }

    /// Whether the runtime that kept its nodes connected has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.primaries.iter().any(|node| node.link.has_ended())
    }

    /// Whether both name the same nodes, and the same primary for each slot.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let owner = |map: &Self, slot| map.primaries.get(usize::from(map.owners[slot])).cloned();
        let same = |slot| match (owner(self, slot), owner(other, slot)) {
            (Some(one), Some(two)) => Arc::ptr_eq(&one, &two),
            (one, two) => one.is_none() && two.is_none(),
        };
        // One that has lost its last slot is a primary no more, and a guest has come or gone.
        let nodes = |map: &Self| (map.primaries.len(), map.guests.len());
        let alike = nodes(self) == nodes(other) && self.replicas == other.replicas;
        alike && (0..SLOTS).all(same)
    }

    pub(super) fn add_guest(&mut self, node: Arc<Node>) {
        self.guests.push(node);
    }

    /// Gives a slot to a node.
    pub(super) fn assign(&mut self, slot: u16, node: &Arc<Node>) {
        let known = self.primaries.iter().position(|known| known.address == node.address);
        let owner = known.unwrap_or_else(|| {
            self.guests.retain(|guest| guest.address != node.address);
            self.primaries.push(Arc::clone(node));
            self.primaries.len() - 1
        });
        if let Some(slot) = self.owners.get_mut(usize::from(slot)) {
            *slot = owner as u16;
        }
    }
}

/// Reads the reply of `CLUSTER SLOTS`. A node that does not know its own host is the one `asked`.
pub(super) fn parse(reply: &Value, asked: &Address) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else { return None };
    ranges.iter().map(|range| parse_range(range, asked)).collect()
}

fn parse_range(range: &Value, asked: &Address) -> Option<Range> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), nodes @ ..] = &parts[..] else { return None };
    let nodes = nodes.iter().map(|node| {
        let Value::Array(parts) = node else { return None };
        let [host, Value::Int(port), ..] = &parts[..] else { return None };
        let host = text(host).filter(|host| !host.is_empty() && *host != "?");
        Some(Address::new(host.unwrap_or(&asked.host), u16::try_from(*port).ok()?))
    });
    let [first, last] = [first, last].map(|&slot| u16::try_from(slot).ok());
    let (first, last) = (first?, last?);
    if first > last || usize::from(last) >= SLOTS {
        return None;
    }
    Some(Range { first, last, nodes: nodes.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        let mut range = vec![Value::Int(first), Value::Int(last)];
        range.extend(nodes);
        Value::Array(range)
    }

    #[test]
    fn a_reply_is_ranges_of_slots_with_their_nodes() {
        let host = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        let reply = Value::Array(vec![
            range(0, 5460, vec![node(host("a"), 1), node(host("b"), 2)]),
            range(5461, 16383, vec![node(host(""), 3), node(Value::Nil, 4)]),
        ]);
        let asked = Address::new("asked", 9);
        let address = |host, port| Address::new(host, port);
        let expected = vec![
            Range { first: 0, last: 5460, nodes: vec![address("a", 1), address("b", 2)] },
            Range {
                first: 5461,
                last: 16383,
                nodes: vec![address("asked", 3), address("asked", 4)],
            },
        ];
        assert_eq!(parse(&reply, &asked), Some(expected));
    }

    #[test]
    fn what_is_no_such_reply_is_nothing() {
        let asked = Address::new("asked", 9);
        let port = node(Value::Nil, 70_000);
        for reply in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(5, 4, vec![])]),
            Value::Array(vec![range(0, 16384, vec![])]),
            Value::Array(vec![range(-1, 4, vec![])]),
            Value::Array(vec![range(0, 4, vec![port])]),
            Value::Array(vec![range(0, 4, vec![Value::Nil])]),
        ] {
            assert_eq!(parse(&reply, &asked), None, "{reply:?}");
        }
    }
}
