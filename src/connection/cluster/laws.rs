//! What holds for whatever the nodes of a cluster say.

use redis::Value;

use super::super::address::Address;
use super::map::{SLOTS, parse};
use super::redirection;

/// A map is of slots that there are.
pub(in crate::connection) fn slot_map(reply: &Value) {
    let asked = Address::new("asked", 1);
    for range in parse(reply, &asked).into_iter().flatten() {
        assert!(range.first <= range.last && usize::from(range.last) < SLOTS);
        assert!(range.nodes.iter().all(|node| !node.host.is_empty()));
    }
}

/// So is a redirection.
pub(in crate::connection) fn redirections(message: &str) {
    let asked = Address::new("asked", 1);
    if let Some((slot, to)) = redirection(message, &asked) {
        assert!(usize::from(slot) < SLOTS, "{message}");
        assert!(!to.host.is_empty(), "{message}");
    }
}
