//! Deletes that were not done: remembered, done before what they were about is read again.

mod replay;
mod table;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::cache::Cache;
use crate::error::Error;
use crate::key::{Pattern, check_key, millis};
use crate::observe;
use replay::Task;
use table::{Owed, Part, Table};

/// The deletes that an adapter owes. While there are any of a part, a task tries to do them; it ends with the
/// adapter or with its runtime, which the next delete or read makes up for.
#[derive(Debug)]
pub(super) struct Missed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cache: Cache,
    table: Mutex<Table>,
    /// How much is owed: all that a read looks at while that is nothing.
    owed: AtomicUsize,
    /// The longest TTL that was asked for, by pattern, in milliseconds.
    longest: [AtomicU64; Pattern::ALL.len()],
    /// Notified of more to do, by part.
    added: Arc<[Notify; Part::ALL.len()]>,
}

impl Missed {
    pub(super) fn new(cache: Cache, at_most: usize) -> Self {
        let longest = Pattern::ALL.map(|pattern| AtomicU64::new(as_millis(pattern.ttl())));
        // What is nothing is to be seen as well.
        observe::deletes_pending(0, 0);
        let (table, owed) = (Mutex::new(Table::new(at_most)), AtomicUsize::new(0));
        Self(Arc::new(Shared { cache, table, owed, longest, added: Arc::default() }))
    }

    /// Remembers no more than so many keys from now on.
    pub(super) fn at_most(&self, keys: usize) {
        self.0.table().at_most = keys;
    }

    /// Notes that a key may live for so long, if a server would take that.
    pub(super) fn lives(&self, key: &str, ttl: Duration) {
        if let Ok(ttl) = millis("TTL", ttl) {
            let longest = &self.0.longest[Pattern::of(key) as usize];
            longest.fetch_max(ttl, Ordering::Relaxed);
        }
    }

    /// These keys were to be deleted, and this came of it.
    pub(super) fn add<'k>(&self, keys: impl IntoIterator<Item = &'k str>, error: &Error) {
        let is_away = error.is_node_fault();
        {
            let mut table = self.0.table();
            for key in keys {
                let longest = &self.0.longest[Pattern::of(key) as usize];
                let lives = Duration::from_millis(longest.load(Ordering::Relaxed));
                let part = table.add(key, self.0.slot(key), is_away, lives);
                self.0.added[part as usize].notify_one();
            }
            self.0.note(&table);
        }
        self.0.see_to_it();
    }

    /// Remembers these keys if it is dropped before it is told that they need not be.
    pub(super) fn unless_done<'a>(&'a self, keys: &'a [&'a str]) -> Unfinished<'a> {
        Unfinished { missed: self, keys }
    }

    /// Whether what is at this key, or beside it, may be what was to be deleted.
    pub(super) fn withholds(&self, key: &str) -> bool {
        if self.0.owed.load(Ordering::SeqCst) == 0 {
            return false;
        }
        self.0.see_to_it();
        self.0.table().withholds(key, self.0.slot(key))
    }

    /// How many keys are to be deleted, and the patterns of those that were too many to remember.
    pub(super) fn owed(&self) -> (usize, Vec<&'static str>) {
        let table = self.0.table();
        (table.keys(), table.patterns().map(|pattern| pattern.glob().unwrap_or("other")).collect())
    }
}

/// A delete under way. Whoever drops it halfway does not know what came of it.
pub(super) struct Unfinished<'a> {
    missed: &'a Missed,
    keys: &'a [&'a str],
}

impl Unfinished<'_> {
    pub(super) fn done(mut self) {
        self.keys = &[];
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let keys = self.keys.iter().copied().filter(|key| check_key(key).is_ok());
        let keys: Vec<_> = keys.collect();
        if !keys.is_empty() {
            let dropped = Error::Config("the delete was dropped".to_owned());
            self.missed.add(keys, &dropped);
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of a key on a cluster; elsewhere all is one.
    fn slot(&self, key: &str) -> u16 {
        let redis = self.cache.redis();
        if redis.is_cluster() { redis.slot(key) } else { 0 }
    }

    /// Has a task at work on each part of what is owed, where there is a runtime.
    fn see_to_it(self: &Arc<Self>) {
        // That of the connections: a short one of a caller's may end, and without them nothing is done.
        let kept_up = self.cache.redis().runtime().cloned();
        let Some(runtime) = kept_up.or_else(|| Handle::try_current().ok()) else {
            return;
        };
        for part in Part::ALL {
            {
                let mut table = self.table();
                if table.owed_of(part) == 0
                    || std::mem::replace(&mut table.has_task[part as usize], true)
                {
                    continue;
                }
            }
            // A runtime that has ended drops it, which says so in the table.
            drop(runtime.spawn(replay::run(Task::new(self, part))));
        }
    }

    /// So much of what is owed of a part now.
    fn all(&self, part: Part, at_most: usize) -> Owed {
        let mut table = self.table();
        let all = table.all(part, at_most);
        self.note(&table);
        all
    }

    /// Changes what is owed.
    fn settle(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table();
        change(&mut table);
        self.note(&table);
    }

    /// How much is owed, for those who look at no more than that.
    fn note(&self, table: &Table) {
        let now = table.owed();
        observe::deletes_pending(self.owed.swap(now, Ordering::SeqCst), now);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let owed = self.table().owed();
        if owed > 0 {
            observe::deletes_pending(owed, 0);
            tracing::warn!(owed, "an adapter is gone that could not delete all it was told to");
        }
    }
}

fn as_millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}
