//! Renewal: one task for all guards of a [`Locks`](super::Locks), there as long as there are any.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::hold::{Hold, RECHECK};
use crate::clock::Moment;
use crate::error::{Error, Result, ServerErrorKind};
use crate::lock::{Extend, LockToken};
use crate::observe;

/// The most leases of one call: the server does nothing else meanwhile.
const BATCH: usize = 100;
/// The least wait after a renewal that had no answer.
const LEAST_WAIT: Duration = Duration::from_millis(10);

/// Renews holds at a third of their TTL, so that two renewals may fail before a lease ends.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    table: Mutex<Table>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    kept: HashMap<u64, Kept>,
    has_task: bool,
    /// When the task looks again by itself.
    looks: Option<Moment>,
}

#[derive(Debug)]
struct Kept {
    hold: Arc<Hold>,
    due: Moment,
    /// From when on it goes with one that is due.
    early: Moment,
    /// A renewal is under way.
    is_asked: bool,
    /// The server refused the last one, and it was told so.
    is_refused: bool,
    /// It has no other renewal after the first.
    once: bool,
}

/// The renewal of a hold, until it is dropped.
#[derive(Debug)]
pub(super) struct Keeping {
    keeper: Arc<Keeper>,
    id: u64,
}

/// So many holds are renewed in one call.
type Batch = Vec<(u64, Arc<Hold>)>;

/// The task of a keeper. Where it ends with its runtime, it leaves room for the next one.
struct Task {
    keeper: Arc<Keeper>,
    is_done: bool,
}

impl Keeper {
    /// Renews a hold that was just taken, on the present runtime.
    pub(super) fn keep(self: &Arc<Self>, hold: &Arc<Hold>) -> Keeping {
        self.add(hold, hold.ttl / 3, false)
    }

    /// Has a hold that was granted for a short lease last for its TTL, and renews it from then on, unless
    /// that is all.
    pub(super) fn take_up(self: &Arc<Self>, hold: &Arc<Hold>, once: bool) -> Keeping {
        self.add(hold, Duration::ZERO, once)
    }

    fn add(self: &Arc<Self>, hold: &Arc<Hold>, wait: Duration, once: bool) -> Keeping {
        let mut table = self.table();
        let id = table.next;
        table.next += 1;
        let (hold, due) = (Arc::clone(hold), Moment::now().after(wait));
        let early = due.before(hold.ttl / 12);
        table.kept.insert(id, Kept { hold, due, early, is_asked: false, is_refused: false, once });
        if !table.has_task {
            table.has_task = true;
            // A runtime that ends just now drops the task at once, which looks at the table.
            drop(table);
            tokio::spawn(run(Task { keeper: Arc::clone(self), is_done: false }));
        } else if table.looks.is_none_or(|looks| due < looks) {
            self.added.notify_one();
        }
        Keeping { keeper: Arc::clone(self), id }
    }

    /// What came of a renewal that was asked for at `started`.
    fn settle(&self, id: u64, started: Moment, outcome: Result<Extend, &Error>) {
        let mut table = self.table();
        let Some(kept) = table.kept.get_mut(&id) else { return };
        kept.is_asked = false;
        let slack = kept.hold.remaining();
        match outcome {
            Ok(Extend::NotOurs) => observe::renewed("lost", None),
            Ok(_) if slack.is_zero() => observe::renewed("lost", Some(slack)),
            Ok(_) => observe::renewed("renewed", Some(slack)),
            Err(error) => observe::renewed(observe::failure(error), None),
        }
        match outcome {
            Ok(outcome) => {
                kept.is_refused = false;
                kept.hold.extended(started, outcome);
                if kept.once {
                    table.kept.remove(&id);
                    return;
                }
                kept.due = started.after(kept.hold.ttl / 3);
                kept.early = kept.due.before(kept.hold.ttl / 12);
            }
            // Something else is where the lock was.
            Err(error) if error.server_kind() == Some(ServerErrorKind::WrongType) => {
                kept.hold.lose();
            }
            Err(error) => {
                if is_refusal(error) && !kept.is_refused {
                    kept.is_refused = true;
                    tracing::warn!(%error, "a lock could not be renewed");
                }
                // What is not known is tolerated until the deadline.
                let wait = kept.hold.ttl.min(kept.hold.remaining()) / 12;
                kept.due = Moment::now().after(wait.clamp(LEAST_WAIT, RECHECK));
                kept.early = kept.due;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// What is to be renewed now, by slots where there are any. With one that is due go those that soon
    /// will be, so that there are few calls.
    fn due(&mut self) -> Vec<Batch> {
        self.kept.retain(|_, kept| !kept.hold.is_over());
        let now = Moment::now();
        let mut batches = BTreeMap::<_, Batch>::new();
        for (&id, kept) in &mut self.kept {
            if kept.is_asked || kept.early > now {
                continue;
            }
            kept.is_asked = true;
            batches.entry(slot_of(&kept.hold)).or_default().push((id, kept.hold.clone()));
        }
        let batches = batches.into_values();
        batches
            .flat_map(|batch| batch.chunks(BATCH).map(<[_]>::to_vec).collect::<Vec<_>>())
            .collect()
    }

    /// How long nothing is due.
    fn idle(&mut self) -> Duration {
        let now = Moment::now();
        let waits = self.kept.values().filter(|kept| !kept.is_asked);
        let idle = waits.map(|kept| kept.due.since(now)).min();
        let idle = idle.map_or(RECHECK, |wait| wait.min(RECHECK));
        self.looks = Some(now.after(idle));
        idle
    }
}

async fn run(mut task: Task) {
    let keeper = Arc::clone(&task.keeper);
    let mut calls = JoinSet::new();
    loop {
        let (batches, idle) = {
            let mut table = keeper.table();
            let due = table.due();
            if table.kept.is_empty() {
                (table.has_task, task.is_done) = (false, true);
                return;
            }
            (due, table.idle())
        };
        for batch in batches {
            calls.spawn(renew(Arc::clone(&keeper), batch));
        }
        tokio::select! {
            () = tokio::time::sleep(idle) => {}
            () = keeper.added.notified() => {}
            Some(_) = calls.join_next() => {}
        }
    }
}

/// Renews these in one call, or each in one of its own where the server refuses that.
async fn renew(keeper: Arc<Keeper>, batch: Batch) {
    if let [(id, hold)] = &batch[..] {
        return renew_one(&keeper, *id, hold).await;
    }
    let wanted: Vec<(&str, &LockToken, Duration)> =
        batch.iter().map(|(_, hold)| (&*hold.key, &hold.token, hold.ttl)).collect();
    let started = Moment::now();
    match batch[0].1.leases.extend_many(&wanted).await {
        Ok(outcomes) => {
            for ((id, _), outcome) in batch.iter().zip(outcomes) {
                keeper.settle(*id, started, Ok(outcome));
            }
        }
        Err(error) if is_refusal(&error) => {
            let mut singles = JoinSet::new();
            for (id, hold) in batch {
                let keeper = Arc::clone(&keeper);
                singles.spawn(async move { renew_one(&keeper, id, &hold).await });
            }
            singles.join_all().await;
        }
        Err(error) => batch.iter().for_each(|(id, _)| keeper.settle(*id, started, Err(&error))),
    }
}

async fn renew_one(keeper: &Keeper, id: u64, hold: &Hold) {
    let started = Moment::now();
    let outcome = hold.leases.extend(&hold.key, &hold.token, hold.ttl).await;
    keeper.settle(id, started, outcome.as_ref().copied());
}

/// Whether the server said no to this call, where another may pass.
fn is_refusal(error: &Error) -> bool {
    !error.is_node_fault()
}

/// The slot of the lock on a cluster; elsewhere all is one.
fn slot_of(hold: &Hold) -> u16 {
    let redis = hold.leases.redis();
    match redis.is_cluster() {
        true => redis.slot(&hold.key),
        false => 0,
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.keeper.table().kept.remove(&self.id);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.is_done {
            let mut table = self.keeper.table();
            table.has_task = false;
            // What was asked is dropped with it.
            table.kept.values_mut().for_each(|kept| kept.is_asked = false);
        }
    }
}
