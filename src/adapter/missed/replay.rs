//! The task that does what is owed.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::Shared;
use super::table::Owed;
use crate::circuit::Circuits;
use crate::error::{Error, Result};
use crate::key::Pattern;
use crate::scan::Scan;

/// The waits between two tries, doubled from the first to the last. A circuit that closes ends a wait.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

/// Leaves room for the next task, where it ends with its runtime too.
struct Task {
    shared: Weak<Shared>,
    is_done: bool,
}

pub(super) async fn run(shared: Weak<Shared>) {
    let mut task = Task { shared, is_done: false };
    let mut wait = WAITS[0];
    loop {
        let Some(shared) = task.shared.upgrade() else { return };
        let mut circuits = shared.cache.redis().circuits();
        let closed = count_closed(&circuits.borrow_and_update());
        attempt(&shared, &shared.all()).await;
        {
            let mut table = shared.table();
            if table.owed() == 0 {
                (table.has_task, task.is_done) = (false, true);
                tracing::info!("what could not be deleted is deleted now");
                return;
            }
        }
        drop(shared);
        wait = match timeout(wait, more_close(&mut circuits, closed)).await {
            Ok(()) => WAITS[0],
            Err(_) => WAITS[1].min(wait * 2),
        };
    }
}

/// Waits until more circuits are closed than there were.
async fn more_close(circuits: &mut watch::Receiver<Circuits>, mut before: usize) {
    loop {
        if circuits.changed().await.is_err() {
            // The handle is gone, and with it the adapter.
            return;
        }
        let now = count_closed(&circuits.borrow_and_update());
        if now > before {
            return;
        }
        before = now;
    }
}

fn count_closed(circuits: &Circuits) -> usize {
    circuits.iter().filter(|node| node.is_closed()).count()
}

async fn attempt(shared: &Arc<Shared>, owed: &Owed) {
    match shared.cache.delete_many_by_slot(&owed.keys).await {
        Ok(_) => shared.settle(|table| table.deleted(owed, owed.keys.iter())),
        Err(Error::Partial { failed, .. }) => {
            let kept: HashSet<_> = failed.iter().flat_map(|slot| &slot.keys).collect();
            let refused = failed.iter().filter(|slot| !slot.error.is_node_fault());
            shared.settle(|table| {
                table.deleted(owed, owed.keys.iter().filter(|key| !kept.contains(key)));
                table.refused(owed, refused.flat_map(|slot| &slot.keys));
            });
        }
        Err(error) => {
            tracing::debug!(%error, "what is to be deleted is still there");
            if !error.is_node_fault() {
                shared.settle(|table| table.refused(owed, owed.keys.iter()));
            }
            return;
        }
    }
    for &pattern in &owed.patterns {
        match sweep(shared, pattern).await {
            Ok(()) => shared.settle(|table| table.swept(owed, pattern)),
            Err(error) => tracing::debug!(%error, "what is to be deleted is still there"),
        }
    }
}

/// Deletes all strings of a pattern.
async fn sweep(shared: &Shared, pattern: Pattern) -> Result<()> {
    let Some(glob) = pattern.glob() else {
        // No pattern tells them from what is to stay.
        return Err(Error::Unavailable("they end with their TTL".to_owned()));
    };
    let mut scan = Scan::new(shared.cache.redis(), glob).await?;
    while let Some(mut keys) = scan.next().await? {
        keys.retain(|key| Pattern::of(key) == pattern);
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
