//! A slot on its way from one primary to another.

use std::io;

use super::super::Server;
use super::super::group::invalid;
use super::Cluster;

/// How many keys one `MIGRATE` carries.
const AT_ONCE: usize = 100;

/// A slot that is moving, so that a test can stop in the middle; made by [`Cluster::begin_move`].
///
/// Until [`finish`](Self::finish) the old owner answers for the keys that it has and sends clients
/// on with `ASK` for the others; a command with keys of both kinds gets `TRYAGAIN`. Dropped without
/// that, the slot stays as it is.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::Cluster;
///
/// let cluster = Cluster::builder().primaries(2).replicas_each(0).start()?;
/// cluster.command(&["SET", "{t}a", "1"])?;
/// cluster.command(&["SET", "{t}b", "2"])?;
/// let slot = cluster.slot("{t}a")?;
/// let from = cluster.primary_of_slot(slot)?;
/// let to = cluster.nodes().iter().find(|node| node.port() != from.port()).unwrap();
///
/// let half = cluster.begin_move(slot, to)?;
/// assert_eq!(half.move_keys(1)?, 1);
/// // A client that follows ASK finds both.
/// assert_eq!(cluster.command(&["GET", "{t}a"])?.text(), Some("1"));
/// assert_eq!(cluster.command(&["GET", "{t}b"])?.text(), Some("2"));
/// half.finish()?;
/// assert_eq!(cluster.primary_of_slot(slot)?.port(), to.port());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a slot that is not moved to the end stays in between"]
pub struct Move<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: &'a Server,
    to: &'a Server,
}

impl Cluster {
    /// Begins to move a slot to another primary: it is marked on both, and no key has moved.
    ///
    /// # Errors
    ///
    /// When a node does not answer or refuses it, or the slot is there already.
    pub fn begin_move<'a>(&'a self, slot: u16, to: &'a Server) -> io::Result<Move<'a>> {
        let from = self.primary_of_slot(slot)?;
        if from.port() == to.port() {
            return Err(invalid("the slot is there already"));
        }
        let slot = slot.to_string();
        set_slot(to, &slot, &["IMPORTING", self.id_of(from)?])?;
        set_slot(from, &slot, &["MIGRATING", self.id_of(to)?])?;
        Ok(Move { cluster: self, slot, from, to })
    }

    /// Moves a slot with all its keys to another primary, as [`Move`] does in steps.
    ///
    /// All primaries that run know of it when this returns; replicas hear of it in a moment, and
    /// [`wait_until_settled`](Self::wait_until_settled) waits for that.
    ///
    /// # Errors
    ///
    /// As [`begin_move`](Self::begin_move).
    pub fn move_slot(&self, slot: u16, to: &Server) -> io::Result<()> {
        self.begin_move(slot, to)?.finish()
    }
}

impl Move<'_> {
    /// The primary that the slot leaves.
    pub fn from(&self) -> &Server {
        self.from
    }

    /// The primary that the slot comes to.
    pub fn to(&self) -> &Server {
        self.to
    }

    /// Moves so many more of the slot's keys, or all if there are fewer, and tells how many.
    ///
    /// # Errors
    ///
    /// When a node does not answer, or refuses them.
    pub fn move_keys(&self, count: usize) -> io::Result<usize> {
        let mut moved = 0;
        while moved < count {
            let some = (count - moved).min(AT_ONCE).to_string();
            let get = ["CLUSTER", "GETKEYSINSLOT", &self.slot, &some];
            let keys = self.from.command(&get)?.or_refused()?;
            let keys: Vec<_> =
                keys.array().unwrap_or_default().iter().filter_map(|k| k.bytes()).collect();
            if keys.is_empty() {
                break;
            }
            let port = self.to.port().to_string();
            let mut migrate: Vec<&[u8]> = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"]
                .map(str::as_bytes)
                .to_vec();
            migrate.extend_from_slice(&keys);
            self.from.command(&migrate)?.or_refused()?;
            moved += keys.len();
        }
        Ok(moved)
    }

    /// Moves the keys that are left, and the slot itself.
    ///
    /// # Errors
    ///
    /// As [`move_keys`](Self::move_keys).
    pub fn finish(self) -> io::Result<()> {
        self.move_keys(usize::MAX)?;
        let owner = ["NODE", self.cluster.id_of(self.to)?];
        // The new owner first, so that at no moment nobody owns it.
        set_slot(self.to, &self.slot, &owner)?;
        set_slot(self.from, &self.slot, &owner)?;
        let told = [self.to.port(), self.from.port()];
        for other in self.cluster.primaries()? {
            if other.answers() && !told.contains(&other.port()) {
                set_slot(other, &self.slot, &owner)?;
            }
        }
        Ok(())
    }
}

fn set_slot(node: &Server, slot: &str, what: &[&str]) -> io::Result<()> {
    let words = [&["CLUSTER", "SETSLOT", slot], what].concat();
    node.command(&words)?.or_refused().map(drop)
}
