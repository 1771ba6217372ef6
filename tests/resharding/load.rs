//! What the tasks that call while slots move have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::lock::Leases;
use auth_adapter_redis::testing::Cluster;
use auth_adapter_redis::{Cache, Error, Redis};
use tokio::task::JoinSet;

use crate::HANG;
use crate::holders::Holders;
use crate::locks::LockTask;
use crate::many::{Many, Way};
use crate::numbers::Numbers;

/// Tasks of each kind in each slot.
const NUMBERS: usize = 3;
const LOCK_TASKS: usize = 2;

/// One handle, and what its callers tell of their calls.
pub struct Load {
    pub cache: Cache,
    /// The same with the deadline that a call has by default.
    pub hurried: Cache,
    pub locks: Leases,
    pub holders: Holders,
    ends: AtomicBool,
    calls: AtomicU64,
    failed: AtomicBool,
    /// Calls on several keys that were refused until their deadline.
    pub tried_again: AtomicU64,
    /// And those that had no answer by then, or waited for one who had none.
    pub late: AtomicU64,
    /// Calls that found done what they were to do: they were sent twice. A connection whose server
    /// stands still for longer than a call may take is replaced, and what was sent on it is repeated.
    pub twice: AtomicU64,
    /// The slowest call on one key, in microseconds.
    slowest: AtomicU64,
}

/// What is there in the end.
#[derive(Default)]
pub struct Expected {
    pub values: BTreeMap<String, String>,
    /// Keys of which either all are there or none is.
    pub doubtful: Vec<Vec<String>>,
    /// For each lock the owners that were told it is theirs.
    pub holders: BTreeMap<String, Vec<String>>,
}

impl Load {
    /// Single keys are called with a long deadline, so that what became of each call is known, and by
    /// how long they took it is seen whether the default one would have done.
    pub fn on(redis: Redis) -> Self {
        let patient = redis.clone().with_call_deadline(HANG).unwrap();
        Self {
            cache: Cache::new(patient.clone()),
            hurried: Cache::new(redis),
            locks: Leases::new(patient),
            holders: Holders::default(),
            ends: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            tried_again: AtomicU64::new(0),
            late: AtomicU64::new(0),
            twice: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
        }
    }

    /// Runs all tasks on keys with these tags while `moves` runs beside them. What is there in the
    /// end, and what went wrong.
    pub async fn run(
        self: &Arc<Self>,
        tags: &[String],
        moves: impl FnOnce() + Send + 'static,
    ) -> (Expected, Vec<String>) {
        let mut tasks = JoinSet::new();
        let mut spawn = |task: Task| {
            let load = Arc::clone(self);
            tasks.spawn(async move {
                let outcome = task.run(&load).await;
                load.failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                outcome
            });
        };
        for tag in tags {
            (0..NUMBERS).for_each(|at| spawn(Task::Numbers(Numbers::new(tag, at))));
            (0..LOCK_TASKS).for_each(|at| spawn(Task::Lock(LockTask::new(tag, at))));
            spawn(Task::Many(Many::new(std::slice::from_ref(tag), Way::OneSlot)));
        }
        spawn(Task::Many(Many::new(tags, Way::BySlot)));
        tokio::task::spawn_blocking(moves).await.unwrap();
        self.ends.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(HANG, tasks.join_all()).await.expect("each task ends");
        let (mut expected, mut wrong) = (Expected::default(), Vec::new());
        for outcome in ended {
            match outcome {
                Ok(more) => expected.add(more),
                Err(why) => wrong.push(why),
            }
        }
        (expected, wrong)
    }

    /// Awaits a call on one key, which must not fail.
    pub async fn single<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, String> {
        let began = Instant::now();
        let outcome = call.await;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.slowest.fetch_max(took, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        outcome.map_err(|error| format!("{what}: {error}"))
    }

    pub fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Ordering::Relaxed))
    }

    /// Waits, as whoever moves the slots, until there have been so many more calls.
    pub fn goes_on(&self, calls: u64) {
        self.until_more(&self.calls, calls);
    }

    /// Waits until one more call has been refused until its deadline.
    pub fn meets_tryagain(&self) {
        self.until_more(&self.tried_again, 1);
    }

    fn until_more(&self, counter: &AtomicU64, more: u64) {
        let (began, goal) = (Instant::now(), counter.load(Ordering::Relaxed) + more);
        // What has failed is told by whom it met.
        while counter.load(Ordering::Relaxed) < goal && !self.failed.load(Ordering::Relaxed) {
            assert!(began.elapsed() < HANG, "the load stands still");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Expected {
    fn add(&mut self, more: Self) {
        self.values.extend(more.values);
        self.doubtful.extend(more.doubtful);
        for (lock, holders) in more.holders {
            self.holders.entry(lock).or_default().extend(holders);
        }
    }

    /// Compares with what is there: each key on exactly one node.
    pub fn check(&self, cluster: &Cluster) {
        let mut there = BTreeMap::<String, String>::new();
        for node in cluster.nodes() {
            let keys = node.command(&["KEYS", "*"]).unwrap();
            for key in keys.array().unwrap().iter().filter_map(|key| key.text()) {
                let value = node.command(&["GET", key]).unwrap();
                let value = value.text().unwrap_or_else(|| panic!("{key}: {value:?}"));
                let twice = there.insert(key.to_owned(), value.to_owned());
                assert_eq!(twice, None, "{key} is on two nodes");
            }
        }
        for keys in &self.doubtful {
            let there = keys.iter().filter(|&key| there.remove(key).is_some()).count();
            assert!(there == 0 || there == keys.len(), "{there} of {keys:?}");
        }
        for (lock, holders) in &self.holders {
            let [holder] = &holders[..] else { panic!("{lock} is held by {holders:?}") };
            let value = there.remove(lock).unwrap_or_else(|| panic!("{lock} of {holder} is gone"));
            assert!(value.ends_with(&format!(":{holder}")), "{lock} of {holder} holds {value}");
        }
        assert_eq!(there, self.values);
    }
}

/// One caller.
enum Task {
    Numbers(Numbers),
    Lock(LockTask),
    Many(Many),
}

impl Task {
    async fn run(self, load: &Load) -> Result<Expected, String> {
        match self {
            Self::Numbers(task) => task.run(load).await,
            Self::Lock(task) => task.run(load).await,
            Self::Many(task) => task.run(load).await,
        }
    }
}
