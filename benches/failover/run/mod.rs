//! A primary dies by `kill -9` under load: how long until it is replaced, how long until the handle
//! calls its heir, and what became of each call.
//!
//! Shared by the benchmark, which does it many times, and by a test, which does it once.

pub mod cache;
pub mod counts;
pub mod lock;
pub mod stage;
mod watch;
mod witness;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use auth_adapter_redis::Redis;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use counts::Counts;
use lock::Holders;
use stage::Stage;
use watch::Watch;
use witness::Witness;
use worker::Worker;

/// Tasks that call at the same time, over one handle.
const TASKS: usize = 64;
/// Rounds of each task before the primary dies, and after the first call that its heir answers.
const ROUNDS: u64 = 10;
/// A server that let a plain connection wait for so long may have let a call wait past its deadline.
const STALL: Duration = Duration::from_millis(200);
/// Past this something hangs.
const HANG: Duration = Duration::from_secs(30);

/// What one death led to.
pub struct Outcome {
    /// From the death until the heir took a write over a plain connection.
    pub promoted: Duration,
    /// From the death until a Sentinel, or another primary, named the heir.
    pub named: Duration,
    /// From the death until the handle's first success on keys of the dead primary.
    pub first: Duration,
    /// What became of the calls on keys of the dead primary.
    pub counts: Counts,
    /// And of those on keys of the other primaries.
    pub others: Counts,
    /// The slowest answer of the other primaries to a plain connection.
    pub others_slowest: Duration,
    /// How often the heir was sent a script's source.
    pub scripts: u64,
}

impl Outcome {
    /// What must not be: each a sentence.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = [&self.counts.wrong[..], &self.others.wrong[..]].concat();
        let stalled = self.others_slowest > STALL;
        let failed =
            self.others.lost.iter().filter(|(kind, _)| !(stalled && *kind == "unanswered"));
        wrong.extend(failed.map(|(kind, n)| format!("{n} {kind} by primaries that are well")));
        wrong
    }
}

/// What the tasks and whoever ends them share.
struct Progress {
    watch: Watch,
    holders: Holders,
    rounds: AtomicU64,
    ends: AtomicBool,
}

/// Kills the stage's primary under load.
pub async fn run(stage: &Stage) -> Outcome {
    let redis = Redis::connect(&stage.url()).await.unwrap();
    timeout(HANG, redis.connected()).await.expect("the group is well");
    let victim = stage.victim();
    let tags = stage.tags();
    let progress = Arc::new(Progress {
        watch: Watch::over(victim, &stage.heirs(), &tags[0]),
        holders: Holders::default(),
        rounds: AtomicU64::new(0),
        ends: AtomicBool::new(false),
    });
    let witness = Witness::of(&stage.others());
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let at = task % tags.len();
        let worker = Worker::new(task, &tags[at], at == 0, &redis, &progress);
        tasks.spawn(async move { (at == 0, worker.run().await) });
    }
    rounds(&progress).await;
    victim.kill().unwrap();
    let promoted = until(|| progress.watch.promoted()).await;
    let named = until(|| stage.names(promoted.1).then(Instant::now));
    let (named, first) = tokio::join!(named, until(|| progress.watch.first_success()));
    rounds(&progress).await;
    progress.ends.store(true, Ordering::Relaxed);
    let (mut counts, mut others) = (Counts::default(), Counts::default());
    for (of_victim, more) in timeout(HANG, tasks.join_all()).await.expect("each task ends") {
        if of_victim { &mut counts } else { &mut others }.add(more);
    }
    let died = progress.watch.died().expect("it was killed");
    let heir = stage.server_at(promoted.1);
    Outcome {
        promoted: promoted.0 - died,
        named: named - died,
        first: first - died,
        counts,
        others,
        others_slowest: witness.slowest(),
        scripts: heir.command_calls("eval"),
    }
}

/// Waits until the tasks have done so many rounds each, on average.
async fn rounds(progress: &Progress) {
    let done = || progress.rounds.load(Ordering::Relaxed);
    let goal = done() + ROUNDS * TASKS as u64;
    until(|| (done() >= goal).then_some(())).await;
}

async fn until<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(there) = there() {
                return there;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(HANG, wait).await.expect("it comes about")
}
