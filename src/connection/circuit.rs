//! The circuit of each node: whether calls go to it, or fail at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::watch;

use super::{Backend, Redis};
#[cfg(doc)]
use crate::error::Error;
use crate::observe;

/// Whether calls go to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CircuitState {
    /// Calls go to it. After its connection was cut they wait for the next, within their deadlines.
    Closed,
    /// Calls fail at once, while one probe at a time finds out whether it is back: this one is under
    /// way.
    HalfOpen,
    /// Calls fail at once, until the next probe.
    Open,
}

/// The circuit of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Circuit {
    /// Where the node is, without credentials.
    pub node: Arc<str>,
    /// Whether calls go to it.
    pub state: CircuitState,
    /// Since when they do, or do not.
    pub since: SystemTime,
    /// Why they do not.
    pub why: Option<Arc<str>>,
}

/// The circuits of a handle: one for each node that it speaks to. Of a caller's connection to a cluster
/// nothing is known, so it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circuits(Vec<(u64, Circuit)>);

impl Circuits {
    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Circuit> {
        self.0.iter().map(|(_, circuit)| circuit)
    }

    /// The worst of them: closed where all are.
    pub fn state(&self) -> CircuitState {
        self.iter().map(|circuit| circuit.state).max().unwrap_or(CircuitState::Closed)
    }

    /// Since when all are closed, or the first of those was opened that are not. None where there are
    /// no circuits.
    pub fn since(&self) -> Option<SystemTime> {
        let of = |circuit: &Circuit| circuit.since;
        match self.state() {
            CircuitState::Closed => self.iter().map(of).max(),
            _ => self.iter().filter(|circuit| !circuit.is_closed()).map(of).min(),
        }
    }
}

impl Circuit {
    /// Whether calls go to the node.
    pub fn is_closed(&self) -> bool {
        self.state == CircuitState::Closed
    }
}

impl Redis {
    /// The circuits of this handle's nodes, and each change of them. A server has one, and so has the
    /// primary that Sentinels name, whichever that is; a cluster has one for each primary.
    ///
    /// One opens when a call had no answer within its deadline and no other had one meanwhile; when the
    /// connection is refused; and when the node answers `LOADING`, `READONLY`, `MASTERDOWN` or
    /// `CLUSTERDOWN`. While it is open calls fail at once with [`Error::Unavailable`], and one probe at a
    /// time finds out whether the node is back: a `PING`, or an attempt to connect. With a connection
    /// of the caller's, one call at a time is the probe.
    ///
    /// Do not keep what [`borrow`](watch::Receiver::borrow) gives: calls wait for it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = auth_adapter_redis::testing::Server::start()?;
    /// # let url = server.url();
    /// use auth_adapter_redis::{Redis, circuit::CircuitState};
    ///
    /// let redis = Redis::connect(&url).await?;
    /// let mut circuits = redis.circuits();
    /// assert_eq!(circuits.borrow_and_update().state(), CircuitState::Closed);
    /// # server.kill()?;
    /// // … the server is gone …
    /// circuits.wait_for(|circuits| circuits.state() != CircuitState::Closed).await?;
    /// # Ok(()) }
    /// ```
    pub fn circuits(&self) -> watch::Receiver<Circuits> {
        self.panel().watch()
    }

    /// How often a script was sent to a server that had lost it, or never had it.
    pub fn scripts_loaded(&self) -> u64 {
        self.panel().scripts_loaded()
    }

    fn panel(&self) -> &Panel {
        match &self.backend {
            Backend::Link(link) => link.panel(),
            Backend::Cluster(cluster) => cluster.panel(),
            Backend::Given(given) => given.panel(),
        }
    }

    /// A script was sent by its source.
    pub(crate) fn loaded_script(&self) {
        self.panel().loaded_script();
    }
}

/// Where the circuits of a handle are seen.
#[derive(Debug)]
pub(super) struct Panel {
    circuits: watch::Sender<Circuits>,
    next: AtomicU64,
    scripts: AtomicU64,
}

impl Default for Panel {
    fn default() -> Self {
        let circuits = watch::Sender::new(Circuits::default());
        Self { circuits, next: AtomicU64::new(0), scripts: AtomicU64::new(0) }
    }
}

impl Panel {
    pub(super) fn watch(&self) -> watch::Receiver<Circuits> {
        self.circuits.subscribe()
    }

    pub(super) fn loaded_script(&self) {
        self.scripts.fetch_add(1, Ordering::Relaxed);
    }

    /// How many scripts were sent by their source.
    pub(super) fn scripts_loaded(&self) -> u64 {
        self.scripts.load(Ordering::Relaxed)
    }

    /// The circuit of a node that is not yet known to be away.
    pub(super) fn add(self: &Arc<Self>, node: &str) -> Breaker {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (state, since) = (CircuitState::Closed, SystemTime::now());
        let circuit = Circuit { node: node.into(), state, since, why: None };
        observe::circuit(&circuit.node, None, Some(state as usize));
        self.circuits.send_modify(|circuits| circuits.0.push((id, circuit)));
        Breaker { panel: Arc::clone(self), id }
    }
}

/// What opens and closes the circuit of one node.
pub(super) struct Breaker {
    panel: Arc<Panel>,
    id: u64,
}

impl Breaker {
    pub(super) fn close(&self) {
        self.set(CircuitState::Closed, None);
    }

    pub(super) fn open(&self, why: &Arc<str>) {
        self.set(CircuitState::Open, Some(why));
    }

    /// A probe is under way; of a closed one nothing is to be found out.
    pub(super) fn probe(&self) {
        self.set(CircuitState::HalfOpen, None);
    }

    fn set(&self, state: CircuitState, why: Option<&Arc<str>>) {
        self.panel.circuits.send_if_modified(|circuits| {
            let mut found = circuits.0.iter_mut().filter(|(id, _)| *id == self.id);
            let Some((_, circuit)) = found.next() else { return false };
            let (was, was_closed) = (circuit.state, circuit.is_closed());
            if was == state || (was_closed && state == CircuitState::HalfOpen) {
                return false;
            }
            circuit.state = state;
            observe::circuit(&circuit.node, Some(was as usize), Some(state as usize));
            if was_closed || state == CircuitState::Closed {
                circuit.since = SystemTime::now();
            }
            match why {
                Some(why) => circuit.why = Some(Arc::clone(why)),
                None if state == CircuitState::Closed => circuit.why = None,
                None => {}
            }
            true
        });
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        let is_other = |(id, circuit): &(u64, Circuit)| {
            let is_other = *id != self.id;
            if !is_other {
                observe::circuit(&circuit.node, Some(circuit.state as usize), None);
            }
            is_other
        };
        self.panel.circuits.send_modify(|circuits| circuits.0.retain(is_other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_node_is_what_a_handle_shows_and_since_when() {
        let panel = Arc::<Panel>::default();
        let seen = panel.watch();
        assert_eq!(seen.borrow().state(), CircuitState::Closed, "of nobody");
        let (one, two) = (panel.add("one"), panel.add("two"));
        let closed = seen.borrow().since();
        one.probe();
        assert_eq!((seen.borrow().state(), seen.borrow().since()), (CircuitState::Closed, closed));
        one.open(&"gone".into());
        let opened = seen.borrow().since();
        two.open(&"gone too".into());
        two.probe();
        assert_eq!((seen.borrow().state(), seen.borrow().since()), (CircuitState::Open, opened));
        one.close();
        assert_eq!(seen.borrow().state(), CircuitState::HalfOpen);
        assert_eq!(seen.borrow().iter().nth(1).unwrap().why.as_deref(), Some("gone too"));
        drop(two);
        assert_eq!((seen.borrow().state(), seen.borrow().iter().len()), (CircuitState::Closed, 1));
    }
}
