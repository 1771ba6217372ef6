//! Chapters 3 and 4: a job that one instance does at a time, and goes on when that one dies.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use auth_adapter_redis::CacheAdapter;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::Result;
use crate::claims::Claims;
use crate::stage::{Instance, Stage};

const TICKS: usize = 10;
const TICK: Duration = Duration::from_millis(100);
/// Much longer than a tick: what frees the lock in chapter 3 is its holder.
const LONG_LEASE: Duration = Duration::from_secs(30);
const SHORT_LEASE: Duration = Duration::from_millis(1500);
/// How often the others ask for the lock of the dead.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// What a round trip on a busy machine may add to that.
const SOON: Duration = Duration::from_millis(250);
/// A server's clock counts whole milliseconds.
const CLOCK_STEP: Duration = Duration::from_millis(2);

/// The work that must not be done twice at once.
#[derive(Default)]
struct Job {
    at_work: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Job {
    fn begin(&self) {
        let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_work, Ordering::SeqCst);
    }

    fn end(&self) {
        self.at_work.fetch_sub(1, Ordering::SeqCst);
    }
}

pub async fn one_works_per_tick(instances: &[Instance], claims: &mut Claims) {
    let job = Arc::new(Job::default());
    let everyone_has_asked = Arc::new(Barrier::new(instances.len()));
    let mut running = JoinSet::new();
    for instance in instances {
        running.spawn(on_every_tick(
            instance.clone(),
            Arc::clone(&job),
            Arc::clone(&everyone_has_asked),
        ));
    }
    println!("  All try to take the lock on each of {TICKS} ticks of {TICK:?} …");
    let mut worked = running.join_all().await;
    worked.sort();

    for (name, ticks) in &worked {
        let times = ticks.iter().filter(|worked| **worked).count();
        println!("  {name} worked {times} times");
    }
    let one_each = (0..TICKS).filter(|&tick| {
        let workers = worked.iter().filter(|(_, ticks)| ticks[tick]).count();
        workers == 1
    });
    let one_each = one_each.count();
    claims.claim(one_each == TICKS, &format!("Exactly one worked in {one_each} of {TICKS} ticks."));
    let most = job.most_at_once.load(Ordering::SeqCst);
    claims.claim(most == 1, &format!("At work at once, at the most: {most}."));
}

/// The life of an instance, and the ticks in which it did the job.
async fn on_every_tick(
    instance: Instance,
    job: Arc<Job>,
    everyone_has_asked: Arc<Barrier>,
) -> (&'static str, Vec<bool>) {
    let lock = instance.redis.keys().cleanup_lock();
    let mut worked = Vec::new();
    let mut ticks = interval(TICK);
    for _ in 0..TICKS {
        ticks.tick().await;
        sleep(jitter()).await;
        let ours = instance.cache.acquire_lock(lock, LONG_LEASE).await;
        if ours {
            job.begin();
        }
        // The work lasts until all have asked, however busy this machine is: one who asked only
        // after the release would rightly get the lock in the same tick.
        everyone_has_asked.wait().await;
        if ours {
            job.end();
            instance.cache.release_lock(lock).await;
        }
        worked.push(ours);
    }
    (instance.name, worked)
}

/// No two clocks tick at the same moment: up to ten milliseconds.
fn jitter() -> Duration {
    Duration::from_micros(RandomState::new().hash_one(()) % 10_000)
}

pub async fn holder_dies(
    stage: &Stage,
    instances: &mut Vec<Instance>,
    claims: &mut Claims,
) -> Result<()> {
    let Some(holder) = instances.pop() else {
        return Err("no instance".into());
    };
    let (name, lock) = (holder.name, holder.redis.keys().cleanup_lock());
    let asked = Instant::now();
    let took = holder.cache.acquire_lock(lock, SHORT_LEASE).await;
    claims.claim(took, &format!("{name} takes the lock for {SHORT_LEASE:?}."));
    // With its last handle goes the connection; nothing is released.
    drop(holder);
    println!("  {name} is gone without a word. The others ask every {ASK_EVERY:?} …");

    let mut refused = 0;
    let mut ticks = interval(ASK_EVERY);
    let heir = 'heir: loop {
        ticks.tick().await;
        for instance in instances.iter() {
            if instance.cache.acquire_lock(lock, LONG_LEASE).await {
                break 'heir instance;
            }
            refused += 1;
        }
    };
    // Counted from before the call that took the lock: the lease itself began a moment later.
    let since = asked.elapsed();
    let late = since.saturating_sub(SHORT_LEASE);
    println!("  {refused} refusals later {} has it", heir.name);
    claims.claim(
        since + CLOCK_STEP >= SHORT_LEASE && late <= SOON,
        &format!("Another took over {late:.1?} after the lease's end, not before."),
    );
    heir.cache.release_lock(lock).await;

    instances.push(stage.start(name).await?);
    println!("  {name} is started again");
    Ok(())
}
