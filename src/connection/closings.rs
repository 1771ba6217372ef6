//! Whether the closing of a circuit was worth it: a `PING` that passes says little of a node that serves
//! nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;

/// The closings of a circuit on one connection.
#[derive(Default)]
pub(super) struct Closings {
    /// When the last one was, and how many calls were served by then.
    last: Option<(Instant, u64)>,
    in_vain: u32,
}

impl Closings {
    pub(super) fn closed(&mut self, served: u64) {
        self.last = Some((Instant::now(), served));
    }

    /// A call opened it again: how long to wait before the next probe, where nobody was served meanwhile.
    pub(super) fn opened(&mut self, served: u64, backoff: Backoff) -> Option<Duration> {
        let (at, served_then) = self.last?;
        if served != served_then || at.elapsed() > backoff.max {
            self.in_vain = 0;
            return None;
        }
        let wait = backoff.wait(self.in_vain);
        self.in_vain += 1;
        Some(wait)
    }
}
