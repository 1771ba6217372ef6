//! One task of the load: a key of its own, and a lock that it shares with others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use auth_adapter_redis::lock::{Acquire, Leases, LockToken};
use auth_adapter_redis::{Cache, Error, Redis};
use tokio::time::sleep;

use super::cache::Numbers;
use super::counts::Counts;
use super::lock::Hold;
use super::{Progress, TASKS};

/// Between two rounds: a server's work, not a loop that only fails while the primary is away.
const PACE: Duration = Duration::from_millis(20);
/// How long a lock is held, long enough for others to find it held.
const HELD: Duration = Duration::from_millis(5);
/// Longer than any run, so that no lease ends in one.
const TTL: Duration = Duration::from_secs(600);
/// How many locks the tasks of one primary share.
const LOCKS: usize = 8;

pub struct Worker {
    task: usize,
    key: String,
    lock: String,
    /// Whether these are the dying primary's.
    of_victim: bool,
    cache: Cache,
    locks: Leases,
    progress: Arc<Progress>,
    numbers: Numbers,
    hold: Option<(LockToken, Hold)>,
    counts: Counts,
}

impl Worker {
    pub(super) fn new(
        task: usize,
        tag: &str,
        of_victim: bool,
        redis: &Redis,
        progress: &Arc<Progress>,
    ) -> Self {
        Self {
            task,
            key: format!("{{{tag}}}:number:{task}"),
            lock: format!("{{{tag}}}:lock:{}", task % LOCKS),
            of_victim,
            cache: Cache::new(redis.clone()),
            locks: Leases::new(redis.clone()),
            progress: Arc::clone(progress),
            numbers: Numbers::new(task),
            hold: None,
            counts: Counts::default(),
        }
    }

    /// Calls until it is told to end, and then until it has read what is there and holds nothing.
    pub(super) async fn run(mut self) -> Counts {
        sleep(PACE * self.task as u32 / TASKS as u32).await;
        loop {
            let ends = self.progress.ends.load(Ordering::Relaxed);
            // In this order, so that a write never hides what the failover lost.
            let read = self.read().await;
            if ends && read && self.hold.is_none() {
                return self.counts;
            }
            if read && !ends {
                self.write().await;
                self.read().await;
            }
            match self.hold.take() {
                Some((token, hold)) => self.release(token, hold).await,
                None if !ends => self.acquire().await,
                None => {}
            }
            self.progress.rounds.fetch_add(1, Ordering::Relaxed);
            sleep(PACE).await;
        }
    }

    async fn read(&mut self) -> bool {
        let began = Instant::now();
        let outcome = self.cache.get(&self.key).await;
        let after_death = self.called(began, outcome.as_ref().err());
        let Ok(value) = outcome else { return false };
        match self.numbers.read(value.as_deref(), after_death) {
            Ok(lost) => self.counts.lost_writes += lost,
            Err(wrong) => self.counts.wrong.push(wrong),
        }
        true
    }

    async fn write(&mut self) {
        let began = Instant::now();
        let outcome = self.cache.set(&self.key, &self.numbers.next(), TTL).await;
        self.called(began, outcome.as_ref().err());
        self.numbers.written(outcome.as_ref().copied());
    }

    async fn acquire(&mut self) {
        let began = Instant::now();
        let outcome = self.locks.acquire(&self.lock, TTL).await;
        let error = match &outcome {
            Ok(Acquire::Unknown { error, .. }) | Err(error) => Some(error),
            Ok(_) => None,
        };
        let by_heir = self.called(began, error);
        match outcome {
            Ok(Acquire::Acquired(token)) => {
                let entered = self.progress.holders.enter(&self.lock, self.task, by_heir);
                self.counts.wrong.extend(entered.err());
                sleep(HELD).await;
                self.progress.holders.leave(&self.lock, self.task);
                self.release(token, Hold::new(by_heir, true)).await;
            }
            Ok(Acquire::Unknown { token, .. }) => {
                self.release(token, Hold::new(by_heir, false)).await;
            }
            Ok(Acquire::Held { .. }) | Err(_) => {}
        }
    }

    /// Keeps the lock for the next round where there was no answer.
    async fn release(&mut self, token: LockToken, mut hold: Hold) {
        let began = Instant::now();
        let outcome = self.locks.release(&self.lock, &token).await;
        let after_death = self.called(began, outcome.as_ref().err());
        match outcome {
            Ok(release) => match hold.released(release, after_death) {
                Ok(lost) => self.counts.lost_locks += u64::from(lost),
                Err(wrong) => self.counts.wrong.push(format!("{}: {wrong}", self.lock)),
            },
            Err(error) => {
                hold.unreleased(&error);
                self.hold = Some((token, hold));
            }
        }
    }

    /// Counts a call that has ended. Whether it was the heir who was asked.
    fn called(&mut self, began: Instant, error: Option<&Error>) -> bool {
        self.counts.calls += 1;
        match error {
            Some(error) => self.counts.lose(error),
            None if self.of_victim => self.progress.watch.succeeded(began),
            None => {}
        }
        self.of_victim && self.progress.watch.is_after_death(began)
    }
}
