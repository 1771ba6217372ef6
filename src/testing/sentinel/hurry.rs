//! What makes Sentinels quick, where they can be told: they were made for networks, not for tests.

use std::io;

use super::super::{Reply, Server};

/// Whether Sentinels of this version can be told.
pub(super) fn is_possible(version: (u32, u32, u32)) -> bool {
    version.0 >= 7
}

/// Told to each Sentinel whenever it starts.
pub(super) const ALWAYS: &[&str] = &[
    "SENTINEL",
    "DEBUG",
    // How often they tell each other of themselves; else every two seconds. For four times that
    // they leave alone a replica that says it is a primary: the one of them that promotes it looks
    // only after a second, and others must not undo it meanwhile.
    "PUBLISH-PERIOD",
    "500",
    // How often they ask a server that is well for its role; else every ten seconds.
    "INFO-PERIOD",
    "500",
    // How soon they try to connect again; else after a second, and one that calls a server down
    // after 300 ms does so with a new primary before it has spoken to it. A replica whose last
    // answer is older than five times that is not promoted, so no less.
    "PING-PERIOD",
    "200",
];

/// Has Sentinels find each other sooner still, until [`end_meeting`].
pub(super) fn begin_meeting(sentinels: &[Server]) -> io::Result<()> {
    set_publish_period(sentinels, "100")
}

/// Back to what [`ALWAYS`] says.
pub(super) fn end_meeting(sentinels: &[Server]) -> io::Result<()> {
    set_publish_period(sentinels, "500")
}

fn set_publish_period(sentinels: &[Server], period: &str) -> io::Result<()> {
    for sentinel in sentinels.iter().filter(|sentinel| is_possible(sentinel.version())) {
        let words = ["SENTINEL", "DEBUG", "PUBLISH-PERIOD", period];
        sentinel.command(&words).and_then(Reply::or_refused)?;
    }
    Ok(())
}
