//! The task that does what is owed.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::table::Owed;
use crate::circuit::Circuits;
use crate::error::{Error, Result, ServerErrorKind};
use crate::key::{Pattern, check_key};
use crate::scan::Scan;

/// The waits after a try that came to nothing though the node was there, doubled from the first to the last.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// So many calls more are made in a try to find those keys among others that are refused.
const CALLS: usize = 256;
/// So many keys go in one call, which has one deadline.
const PAGE: usize = 1000;

/// Leaves room for the next task, where it ends with its runtime too, or is never begun.
pub(super) struct Task {
    shared: Weak<Shared>,
    is_done: bool,
}

impl Task {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), is_done: false }
    }
}

pub(super) async fn run(mut task: Task) {
    let mut wait = Duration::ZERO;
    loop {
        let Some(shared) = task.shared.upgrade() else { return };
        let mut circuits = shared.cache.redis().circuits();
        let (closed, were) = count_closed(&circuits.borrow_and_update());
        let before = shared.table().owed();
        attempt(&shared, &shared.all()).await;
        let after = {
            let mut table = shared.table();
            if table.owed() == 0 {
                (table.has_task, task.is_done) = (false, true);
                tracing::debug!("what could not be deleted is deleted now");
                return;
            }
            table.owed()
        };
        drop(shared);
        wait = match () {
            () if after < before => WAITS[0],
            () if closed == were => WAITS[1].min(wait * 2).max(WAITS[0]),
            // Nobody was asked.
            () => wait,
        };
        if closed < were {
            let _for_long = timeout(WAITS[1], more_close(&mut circuits, closed)).await;
        }
        sleep(wait).await;
    }
}

/// Waits until more circuits are closed than there were.
async fn more_close(circuits: &mut watch::Receiver<Circuits>, mut before: usize) {
    loop {
        if circuits.changed().await.is_err() {
            // The handle is gone, and with it the adapter.
            return;
        }
        let (now, _) = count_closed(&circuits.borrow_and_update());
        if now > before {
            return;
        }
        before = now;
    }
}

/// How many are closed, of how many.
fn count_closed(circuits: &Circuits) -> (usize, usize) {
    (circuits.iter().filter(|node| node.is_closed()).count(), circuits.iter().len())
}

async fn attempt(shared: &Shared, owed: &Owed) {
    let mut calls = CALLS;
    for page in owed.keys.chunks(PAGE) {
        if let Err(error) = delete(shared, owed, page, &mut calls).await {
            return tracing::debug!(%error, "what is to be deleted is still there");
        }
    }
    for &pattern in &owed.patterns {
        match sweep(shared, pattern).await {
            Ok(()) => shared.settle(|table| table.swept(owed, pattern)),
            Err(error) => {
                tracing::debug!(%error, "what is to be deleted is still there");
                if !error.is_node_fault() {
                    shared.settle(|table| table.unswept(pattern));
                }
            }
        }
    }
}

/// Deletes these, but for those that are refused, and those whose node of a cluster is away. An error where
/// all is away.
async fn delete(shared: &Shared, owed: &Owed, page: &[String], calls: &mut usize) -> Result<()> {
    let mut parts = vec![page.to_vec()];
    while let Some(keys) = parts.pop() {
        let failed = match shared.cache.delete_many_by_slot(&keys).await {
            Ok(_) => Vec::new(),
            Err(Error::Partial { failed, .. }) => {
                failed.into_iter().map(|slot| (slot.keys, slot.error)).collect()
            }
            Err(error) if error.is_node_fault() => return Err(error),
            Err(error) => vec![(keys.clone(), error)],
        };
        let kept: HashSet<_> = failed.iter().flat_map(|(keys, _)| keys).collect();
        let gone = keys.iter().filter(|key| !kept.contains(key));
        shared.settle(|table| table.deleted(owed, gone));
        for (mut keys, error) in failed {
            if error.is_node_fault() {
                continue;
            }
            // One that this user may not touch has all of its call refused: which is it?
            let is_divided = error.server_kind() == Some(ServerErrorKind::NoPermission);
            if is_divided && keys.len() > 1 && *calls >= 2 {
                *calls -= 2;
                let half = keys.split_off(keys.len() / 2);
                parts.extend([half, keys]);
            } else {
                shared.settle(|table| table.refused(owed, keys.iter()));
            }
        }
    }
    Ok(())
}

/// Deletes all strings of a pattern.
async fn sweep(shared: &Shared, pattern: Pattern) -> Result<()> {
    let redis = shared.cache.redis();
    let glob = pattern.glob().filter(|_| !redis.is_given());
    let Some(glob) = glob else {
        // No pattern tells them from what is to stay, or no walk is known to be whole.
        return Err(Error::Config("they end with their TTL".to_owned()));
    };
    let mut scan = Scan::new(redis, glob).await?;
    while let Some(mut keys) = scan.next().await? {
        // What is no key of this crate's is never read.
        keys.retain(|key| Pattern::of(key) == pattern && check_key(key).is_ok());
        shared.cache.delete_many_by_slot(&keys).await?;
    }
    Ok(())
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade().filter(|_| !self.is_done) {
            shared.table().has_task = false;
        }
    }
}
