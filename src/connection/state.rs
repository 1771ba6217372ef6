//! What callers and the reconnect loop tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

/// What callers see of the connection.
#[derive(Clone)]
pub(super) enum State {
    /// An attempt is under way that may well succeed: callers wait, within their deadlines.
    Connecting,
    /// Connected; the number tells this connection from those before it.
    Up(u64, MultiplexedConnection),
    /// The last attempt failed, for this reason: callers fail at once, and the loop tries on.
    Down(Arc<str>),
}

/// What callers tell the reconnect loop. Numbers only rise, so an old caller cannot accuse a new
/// connection.
#[derive(Default)]
pub(super) struct Alarm {
    lost: AtomicU64,
    suspect: AtomicU64,
    raised: Notify,
    pub(super) rumours: Arc<Rumours>,
}

/// What the Sentinels make the reconnect loop ask them about.
#[derive(Default)]
pub(super) struct Rumours {
    /// One said that another server is the primary now.
    pub(super) moved: Notify,
    /// One may have said so while nobody listened.
    pub(super) unheard: Notify,
}

impl Alarm {
    /// Connection `id` is closed.
    pub(super) fn lost(&self, id: u64) {
        self.lost.fetch_max(id, Ordering::Relaxed);
        self.raised.notify_one();
    }

    /// A call on connection `id` had no reply in time.
    pub(super) fn suspect(&self, id: u64) {
        self.suspect.fetch_max(id, Ordering::Relaxed);
        self.raised.notify_one();
    }

    pub(super) async fn raised(&self) {
        self.raised.notified().await;
    }

    pub(super) fn is_lost(&self, id: u64) -> bool {
        self.lost.load(Ordering::Relaxed) >= id
    }

    /// Whether `id` is suspected; asking clears it.
    pub(super) fn take_suspicion(&self, id: u64) -> bool {
        self.suspect.swap(0, Ordering::Relaxed) >= id
    }
}
