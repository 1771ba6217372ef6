//! The tasks that do what is owed, one for each part.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::table::{Owed, Part};
use crate::circuit::Circuits;
use crate::error::{Error, Result, ServerErrorKind};
use crate::key::{Pattern, check_key};
use crate::scan::Scan;

/// The wait after a try that came to something, and the first of those after one that came to nothing.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// So many calls more are made in a try to find those keys among others that are refused.
const CALLS: usize = 256;
/// So many keys go in one call, which has one deadline.
const PAGE: usize = 1000;
/// So many that are denied are tried in one try, each in a call of its own.
const DENIED: usize = 64;

/// Leaves room for the next task, where it ends with its runtime too, or is never begun.
pub(super) struct Task {
    shared: Weak<Shared>,
    part: Part,
    is_done: bool,
}

impl Task {
    pub(super) fn new(shared: &Arc<Shared>, part: Part) -> Self {
        Self { shared: Arc::downgrade(shared), part, is_done: false }
    }
}

impl Part {
    /// The last of the waits, which double.
    const fn longest_wait(self) -> Duration {
        match self {
            Self::Keys => Duration::from_secs(1),
            Self::Denied | Self::Patterns => Duration::from_secs(5),
        }
    }
}

pub(super) async fn run(mut task: Task) {
    let part = task.part;
    let mut wait = FIRST_WAIT;
    loop {
        let Some(shared) = task.shared.upgrade() else { return };
        let (mut circuits, added) = (shared.cache.redis().circuits(), Arc::clone(&shared.added));
        let (closed, of) = count_closed(&circuits.borrow_and_update());
        let (began, before) = (Instant::now(), shared.table().owed_of(part));
        attempt(&shared, part).await;
        let after = {
            let mut table = shared.table();
            if table.owed_of(part) == 0 {
                (table.has_task[part as usize], task.is_done) = (false, true);
                tracing::debug!(?part, "what could not be deleted is deleted now");
                return;
            }
            table.owed_of(part)
        };
        // What one part found may be another's.
        shared.see_to_it();
        drop(shared);
        wait = if after < before { FIRST_WAIT } else { part.longest_wait().min(wait * 2) };
        let is_more_to_do = async {
            // Tries, however long one takes, are not all that is done.
            sleep(FIRST_WAIT.max(began.elapsed() * 4)).await;
            added[part as usize].notified().await;
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = more_close(&mut circuits, closed) => wait = FIRST_WAIT,
            // Where nobody is there, nobody can be asked.
            () = is_more_to_do, if closed > 0 || of == 0 => wait = FIRST_WAIT,
        }
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

async fn attempt(shared: &Shared, part: Part) {
    match part {
        Part::Keys => delete_all(shared, &shared.all(part, usize::MAX)).await,
        Part::Denied => delete_denied(shared, &shared.all(part, DENIED)).await,
        Part::Patterns => sweep_all(shared, &shared.all(part, usize::MAX)).await,
    }
}

async fn delete_all(shared: &Shared, owed: &Owed) {
    let mut calls = CALLS;
    for page in owed.keys.chunks(PAGE) {
        if let Err(error) = delete(shared, owed, page, &mut calls).await {
            return tracing::debug!(%error, "what is to be deleted is still there");
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
            if let [key] = &keys[..] {
                shared.settle(|table| table.refused_alone(owed, key, is_denied(&error)));
            } else if is_divided(&error) && *calls >= 2 {
                *calls -= 2;
                let half = keys.split_off(keys.len() / 2);
                parts.extend([half, keys]);
            } else {
                shared.settle(|table| table.refused(owed, &keys));
            }
        }
    }
    Ok(())
}

/// Tries each alone. One that nobody may delete has ended where it is not there, or where it should have and
/// nobody may look.
async fn delete_denied(shared: &Shared, owed: &Owed) {
    for key in &owed.keys {
        let outcome = shared.cache.delete(key).await;
        let has_ended = match &outcome {
            Ok(_) => true,
            Err(error) if !is_denied(error) => false,
            Err(_) => match shared.cache.fetch(key).await {
                Ok(value) => value.is_none(),
                Err(error) => is_denied(&error) && shared.table().has_ended(key),
            },
        };
        // Of a node that is away nobody knows better.
        let is_denied = outcome.is_err_and(|error| is_denied(&error) || error.is_node_fault());
        shared.settle(|table| match has_ended {
            true => table.deleted(owed, [key]),
            false => table.refused_alone(owed, key, is_denied),
        });
    }
}

/// A reason why one key has all that go with it refused: which is it?
fn is_divided(error: &Error) -> bool {
    // While a slot moves a call of one key is sent to where that is.
    is_denied(error) || error.server_kind() == Some(ServerErrorKind::TryAgain)
}

fn is_denied(error: &Error) -> bool {
    error.server_kind() == Some(ServerErrorKind::NoPermission)
}

async fn sweep_all(shared: &Shared, owed: &Owed) {
    for &pattern in &owed.patterns {
        match sweep(shared, pattern).await {
            Ok(()) => shared.settle(|table| table.swept(owed, pattern)),
            Err(error) => {
                tracing::debug!(%error, "what is to be deleted is still there");
                let stays = is_denied(&error) || matches!(error, Error::Config(_));
                shared.settle(|table| table.unswept(pattern, stays));
            }
        }
    }
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
            shared.table().has_task[self.part as usize] = false;
        }
    }
}
