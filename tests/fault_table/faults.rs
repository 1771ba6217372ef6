//! The faults: how each is brought about, how it is lifted, and what holds then.

mod loss;
mod refusals;
mod rights;
mod server;
mod wire;

/// Each fault, in the order of the page.
pub const NAMES: [&str; 26] = [
    "refused",
    "black hole",
    "2 s of latency",
    "one byte at a time",
    "cut mid-reply",
    "RST",
    "garbage",
    "a huge reply",
    "CLIENT KILL",
    "CLIENT PAUSE ALL",
    "CLIENT PAUSE WRITE",
    "SIGSTOP",
    "LOADING",
    "READONLY",
    "OOM",
    "MISCONF",
    "BUSY",
    "maxclients",
    "AUTH revoked",
    "ACL without the commands",
    "ACL without the channels",
    "SCRIPT FLUSH under load",
    "kill -9 without AOF",
    "kill -9 with AOF",
    "an old snapshot",
    "eviction of everything",
];
