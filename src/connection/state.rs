//! What callers and the reconnect loop tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::circuit::Breaker;
use crate::error::{ServerError, ServerErrorKind};

/// What callers see of the connection.
#[derive(Clone)]
pub(super) enum State {
    /// An attempt is under way that may well succeed: callers wait, within their deadlines.
    Connecting,
    /// Connected; the number tells this connection from those before it.
    Up(u64, MultiplexedConnection),
    /// Known to be away, for this reason: callers fail at once, and the loop tries on.
    Down(Arc<str>),
}

/// The state, where it is changed: by the reconnect loop, which owns it, and by callers who find the
/// node away. Each change to or from [`State::Down`] is one event, and opens or closes the circuit.
pub(super) struct Told {
    name: String,
    state: watch::Sender<State>,
    /// None where nobody's calls go, but messages are heard.
    breaker: Option<Breaker>,
}

impl Told {
    pub(super) fn new(name: &str, breaker: Option<Breaker>) -> (Arc<Self>, watch::Receiver<State>) {
        let (state, seen) = watch::channel(State::Connecting);
        (Arc::new(Self { name: name.to_owned(), state, breaker }), seen)
    }

    /// Whether its link is still there: the loop hears a little later that it is not.
    pub(super) fn is_heard(&self) -> bool {
        self.state.receiver_count() > 0
    }

    /// This connection is sound.
    pub(super) fn up(&self, id: u64, connection: &MultiplexedConnection) {
        self.state.send_if_modified(|state| {
            match state {
                State::Up(at, _) if *at == id => return false,
                State::Down(_) => tracing::info!(node = self.name, "redis is back"),
                _ => tracing::info!(node = self.name, "connected to redis"),
            }
            *state = State::Up(id, connection.clone());
            self.breaker.iter().for_each(Breaker::close);
            true
        });
    }

    /// The connection is gone. What was known to be away stays so until another one is sound.
    pub(super) fn cut(&self) {
        self.state.send_if_modified(|state| {
            if matches!(state, State::Down(_)) {
                return false;
            }
            tracing::warn!(node = self.name, "the connection to redis is lost");
            *state = State::Connecting;
            true
        });
    }

    pub(super) fn down(&self, why: &str) {
        self.down_if(why, |_| true);
    }

    /// Whether callers fail at once.
    pub(super) fn is_down(&self) -> bool {
        matches!(*self.state.borrow(), State::Down(_))
    }

    /// A probe is under way.
    pub(super) fn probing(&self) {
        self.breaker.iter().for_each(Breaker::probe);
    }

    /// Callers fail at once from now on, if the state is still what they found.
    fn down_if(&self, why: &str, found: impl FnOnce(&State) -> bool) {
        self.state.send_if_modified(|state| {
            if !found(state) {
                return false;
            }
            let why: Arc<str> = why.into();
            if !matches!(state, State::Down(_)) {
                tracing::warn!(node = self.name, %why, "redis is away");
            }
            self.breaker.iter().for_each(|breaker| breaker.open(&why));
            *state = State::Down(why);
            true
        });
    }
}

/// The callers' side: what they tell the reconnect loop. Numbers only rise, so an old caller cannot
/// accuse a new connection.
#[derive(Clone)]
pub(super) struct Alarm {
    pub(super) raised: Arc<Raised>,
    /// Gone with the loop.
    told: Weak<Told>,
}

/// What the reconnect loop looks at.
#[derive(Default)]
pub(super) struct Raised {
    lost: AtomicU64,
    suspect: AtomicU64,
    /// The server said on this connection that it does not write.
    read_only: AtomicU64,
    /// A node said that its cluster is down.
    cluster_down: AtomicBool,
    any: Notify,
    /// How many answers came, on whichever connection.
    answers: AtomicU64,
    /// How many of them were of calls, and no faults of the node.
    served: AtomicU64,
    /// When the last `PING` was.
    pinged: Mutex<Option<Instant>>,
    pub(super) rumours: Rumours,
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
    pub(super) fn new(told: &Arc<Told>) -> Self {
        Self { raised: Arc::default(), told: Arc::downgrade(told) }
    }

    /// Connection `id` is closed.
    pub(super) fn lost(&self, id: u64) {
        self.raised.lost(id);
    }

    /// A call on connection `id` had no reply in time.
    pub(super) fn suspect(&self, id: u64) {
        self.raised.suspect(id);
    }

    /// A caller went away that waited on connection `id`. Unless a `PING` passed so shortly ago: those who
    /// have little patience must not cost one each.
    pub(super) fn given_up(&self, id: u64, shortly: Duration) {
        if self.raised.pinged().is_none_or(|at| at.elapsed() > shortly) {
            self.raised.suspect(id);
        }
    }

    /// Nothing at all came on connection `id` while a whole call waited.
    pub(super) fn silent(&self, id: u64, why: &str) {
        self.down(why, |state| matches!(state, State::Up(at, _) if *at == id));
        self.suspect(id);
    }

    /// There was no connection while a whole call waited.
    pub(super) fn none(&self, why: &str) {
        self.down(why, |state| matches!(state, State::Connecting));
    }

    /// The server answered on connection `id` that it cannot serve.
    pub(super) fn refused(&self, id: u64, error: &ServerError) {
        match error.kind {
            ServerErrorKind::ReadOnly => {
                self.raised.read_only.fetch_max(id, Ordering::Relaxed);
            }
            ServerErrorKind::ClusterDown => self.raised.cluster_down.store(true, Ordering::Relaxed),
            _ => {}
        }
        self.silent(id, &error.to_string());
    }

    fn down(&self, why: &str, found: impl FnOnce(&State) -> bool) {
        if let Some(told) = self.told.upgrade() {
            told.down_if(why, found);
        }
    }
}

impl Raised {
    pub(super) fn lost(&self, id: u64) {
        self.lost.fetch_max(id, Ordering::Relaxed);
        self.any.notify_one();
    }

    pub(super) fn suspect(&self, id: u64) {
        self.suspect.fetch_max(id, Ordering::Relaxed);
        self.any.notify_one();
    }

    /// Something was answered.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// It was a call, and the node served it.
    pub(super) fn served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls were served so far.
    pub(super) fn calls_served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// A `PING` was.
    pub(super) fn answered_ping(&self) {
        self.answered();
        *self.pinged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn pinged(&self) -> Option<Instant> {
        *self.pinged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many answers came so far.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub(super) async fn notified(&self) {
        self.any.notified().await;
    }

    pub(super) fn is_lost(&self, id: u64) -> bool {
        self.lost.load(Ordering::Relaxed) >= id
    }

    /// Whether `id` is suspected; asking clears it.
    pub(super) fn take_suspicion(&self, id: u64) -> bool {
        self.suspect.swap(0, Ordering::Relaxed) >= id
    }

    /// Whether the server said on `id` that it does not write.
    pub(super) fn is_read_only(&self, id: u64) -> bool {
        self.read_only.load(Ordering::Relaxed) >= id
    }

    /// Whether a node said that its cluster is down; asking clears it.
    pub(super) fn take_cluster_down(&self) -> bool {
        self.cluster_down.swap(false, Ordering::Relaxed)
    }
}
