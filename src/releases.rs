//! Locks that are freed in the background: those that may be ours without our knowing, and those whose
//! holder is gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, Result, ServerErrorKind};
use crate::lock::{self, Leases, LockToken, Place};

/// The wait between two tries to free a lock.
const RETRY: Duration = Duration::from_millis(200);

/// So long a place stays in a queue which nobody enters any more.
const PLACE: Duration = Duration::from_secs(60);

/// The releases under way in the background, a bounded number of them.
#[derive(Debug, Clone)]
pub(crate) struct Releases(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    at_most: usize,
    queue: Mutex<Queue>,
    /// Notified whenever one has come to its end.
    ended: Notify,
}

/// The keys under way.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    keys: BTreeMap<u64, Arc<str>>,
}

/// Unless disarmed, dropping it releases the token in the background, until that is answered or the
/// lease has ended by itself.
#[must_use = "dropping it releases the lock"]
pub(crate) struct Pending {
    release: Option<Release>,
    /// Where the release is to run, also when it is dropped outside a runtime.
    runtime: Option<Handle>,
}

/// How a lock is released.
#[derive(Debug)]
pub(crate) enum Way {
    Alone,
    HandOver,
    /// Together with this place in its queue.
    Leave(Box<Place>),
}

struct Release {
    way: Way,
    releases: Releases,
    leases: Leases,
    key: Arc<str>,
    token: LockToken,
    lease: Duration,
}

/// A release under way. One that is dropped with its runtime says so.
struct Entry {
    releases: Releases,
    at: u64,
    is_done: bool,
}

impl Releases {
    pub(crate) fn new(at_most: usize) -> Self {
        let (queue, ended) = (Mutex::default(), Notify::new());
        Self(Arc::new(Shared { at_most, queue, ended }))
    }

    /// What frees a lock that was or is to be taken for `lease`. It does so on the runtime of the
    /// connections, since a short one of a caller's may end, or else on the present one.
    pub(crate) fn pending(
        &self,
        leases: &Leases,
        key: &Arc<str>,
        token: &LockToken,
        lease: Duration,
    ) -> Pending {
        let release = Release {
            way: Way::Alone,
            releases: self.clone(),
            leases: leases.clone(),
            key: Arc::clone(key),
            token: token.clone(),
            lease,
        };
        let kept_up = leases.redis().runtime().cloned();
        let runtime = kept_up.or_else(|| Handle::try_current().ok());
        Pending { release: Some(release), runtime }
    }

    /// Waits until none is under way, so long at the most: the keys of those that still are.
    pub(crate) async fn flush(&self, within: Duration) -> Vec<String> {
        let ends = Instant::now().checked_add(within);
        loop {
            let ended = self.0.ended.notified();
            let keys = self.keys();
            if keys.is_empty() {
                return keys;
            }
            match ends {
                None => ended.await,
                Some(ends) if tokio::time::timeout_at(ends, ended).await.is_err() => {
                    return self.keys();
                }
                Some(_) => {}
            }
        }
    }

    fn keys(&self) -> Vec<String> {
        self.queue().keys.values().map(|key| String::from(&**key)).collect()
    }

    fn enter(&self, key: &Arc<str>) -> Option<Entry> {
        let mut queue = self.queue();
        if queue.keys.len() >= self.0.at_most {
            return None;
        }
        let at = queue.next;
        queue.next += 1;
        queue.keys.insert(at, Arc::clone(key));
        Some(Entry { releases: self.clone(), at, is_done: false })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    pub(crate) fn disarm(mut self) {
        self.release = None;
    }

    pub(crate) fn by(&mut self, way: Way) {
        if let Some(release) = &mut self.release {
            release.way = way;
        }
    }

    /// The lease may last so long from now on.
    pub(crate) fn lasting(&mut self, lease: Duration) {
        if let Some(release) = &mut self.release {
            release.lease = release.lease.max(lease);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(release) = self.release.take() else { return };
        let runtime = self.runtime.take().or_else(|| Handle::try_current().ok());
        // Outside a runtime nothing can be sent.
        match (runtime, release.releases.enter(&release.key)) {
            // One that has been shut down drops what it is given.
            (Some(runtime), Some(entry)) => drop(runtime.spawn(release.run(entry))),
            (None, Some(_entry)) => {}
            (_, None) => left_alone(),
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("armed", &self.release.is_some()).finish()
    }
}

impl Release {
    async fn run(self, mut entry: Entry) {
        let began = Instant::now();
        while let Err(error) = self.send().await {
            if is_final(&error) || began.elapsed() >= self.lasts() {
                tracing::warn!(%error, "a lock could not be freed and ends with its lease");
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        entry.is_done = true;
    }

    /// How long there may be something to release.
    fn lasts(&self) -> Duration {
        match self.way {
            Way::Leave(_) => self.lease.max(PLACE),
            Way::Alone | Way::HandOver => self.lease,
        }
    }

    async fn send(&self) -> Result<lock::Release> {
        let (key, token) = (&self.key, &self.token);
        match &self.way {
            Way::Alone => self.leases.release(key, token).await,
            Way::HandOver => self.leases.hand_over(key, token).await,
            Way::Leave(place) => self.leases.leave(key, token, place).await,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.releases.queue().keys.remove(&self.at);
        self.releases.0.ended.notify_waiters();
        if !self.is_done {
            left_alone();
        }
    }
}

fn left_alone() {
    tracing::warn!("a lock that may be held is left to end with its lease");
}

/// Whether trying again would end in the same way for as long as a lease lasts. A node that is away, a
/// slot that moves or replicas that are missing come to an end.
fn is_final(error: &Error) -> bool {
    let final_kinds = [ServerErrorKind::WrongType, ServerErrorKind::NoPermission];
    matches!(error, Error::InvalidInput { .. })
        || error.server_kind().is_some_and(|kind| final_kinds.contains(&kind))
}
