//! Chapters 13 and 14: every call is answered while Redis is away, and all is shared once it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_adapter_redis::CacheAdapter;
use auth_adapter_redis::key::Keys;
use auth_adapter_redis::testing::{Data, Server};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{interval, sleep, timeout};

use crate::Result;
use crate::claims::Claims;
use crate::stage::Instance;

const TICKS: usize = 10;
const TICK: Duration = Duration::from_millis(300);
const HANGS_FOR: Duration = Duration::from_secs(1);
/// What a busy machine may add to a deadline.
const SCHEDULING: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to connect, by default, and time for the attempt itself.
const RECONNECT: Duration = Duration::from_millis(2500);

/// Breaks the server on a thread that may wait, so that the instances do not wait with it.
async fn act<E>(server: &Arc<Server>, act: fn(&Server) -> std::result::Result<(), E>) -> Result<()>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let server = Arc::clone(server);
    Ok(spawn_blocking(move || act(&server)).await??)
}

pub async fn redis_dies(
    server: &Arc<Server>,
    instances: &[Instance],
    claims: &mut Claims,
) -> Result<()> {
    for instance in instances {
        instance.cache.set(instance.name, "here", Keys::USER_TTL).await;
        instance.cache.set(&flag(instance), "1", Keys::SESSION_ACTIVE_TTL).await;
    }
    act(server, |server| server.command(&["SAVE"]).map(drop)).await?;
    let (stop, stopped) = watch::channel(false);
    let mut traffic = JoinSet::new();
    for instance in instances {
        traffic.spawn(use_all(instance.clone(), stopped.clone()));
    }
    println!("  All instances call all seven operations, over and over.");
    sleep(TICK).await;
    act(server, Server::pause).await?;
    println!("  Redis hangs (SIGSTOP) for {HANGS_FOR:?} …");
    sleep(HANGS_FOR).await;
    act(server, Server::kill).await?;
    println!("  … and dies (SIGKILL); {TICKS} ticks of {TICK:?} go by …");
    for instance in instances {
        instance.cache.delete(&flag(instance)).await;
    }
    println!("  … in each instance a session is logged out, which Redis does not hear of …");
    let cleanups = clean_up_without_redis(instances).await;
    stop.send_replace(true);
    let mut traffic = traffic.join_all().await;
    traffic.sort_by_key(|seen| seen.name);

    let mut exact = true;
    for (instance, seen) in instances.iter().zip(&traffic) {
        let health = instance.cache.health();
        let calls = &health.swallowed;
        println!(
            "  {}: {} calls, {} swallowed: {} get, {} set, {} delete, {} delete_many, \
             {} acquire_lock, {} release_lock",
            seen.name,
            seen.calls,
            calls.total(),
            calls.get,
            calls.set,
            calls.delete,
            calls.delete_many,
            calls.acquire_lock,
            calls.release_lock,
        );
        exact &= calls.get == seen.misses && health.rejected.total() == 0;
        exact &= calls.get > 0 && !health.is_reachable();
    }
    claims.claim(
        exact,
        "Each health() says Redis is away, and has counted exactly the reads that found nothing.",
    );
    let all: u64 = traffic.iter().map(|seen| seen.calls).sum();
    let (longest, what) = traffic.iter().map(|seen| seen.longest).max().unwrap_or_default();
    let deadline = instances[0].redis.call_deadline();
    claims.claim(
        longest <= deadline + SCHEDULING,
        &format!(
            "All {all} calls were answered, the slowest ({what}) in {longest:.1?}: the deadline \
             is {deadline:?}."
        ),
    );
    let ran = cleanups.into_iter().min().unwrap_or_default();
    claims.claim(
        ran == TICKS,
        &format!("In each instance one of two tasks did the cleanup, in {ran} of {TICKS} ticks."),
    );
    Ok(())
}

/// The session of an instance that is logged out while Redis is away.
fn flag(instance: &Instance) -> String {
    format!("session:{}:active", instance.name)
}

/// Reads that session all the time until what was missed is made up for, and some more: how often, and how
/// often it was active.
async fn read_logged_out(instance: Instance) -> (u64, u64) {
    let flag = flag(&instance);
    let (mut reads, mut active, mut more) = (0, 0, 100);
    while more > 0 {
        active += u64::from(instance.cache.get(&flag).await.is_some());
        reads += 1;
        more -= u64::from(instance.cache.health().deletes_pending == 0);
        sleep(Duration::from_millis(1)).await;
    }
    (reads, active)
}

/// What an instance saw of its own calls.
struct Seen {
    name: &'static str,
    calls: u64,
    misses: u64,
    longest: (Duration, &'static str),
}

impl Seen {
    async fn time<T>(&mut self, what: &'static str, call: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = call.await;
        self.calls += 1;
        self.longest = self.longest.max((started.elapsed(), what));
        answer
    }
}

/// All seven operations until told to stop.
async fn use_all(instance: Instance, stop: watch::Receiver<bool>) -> Seen {
    let Instance { name, cache, .. } = instance;
    let mut seen = Seen { name, calls: 0, misses: 0, longest: Default::default() };
    let (one, two) = (format!("{name}:1"), format!("{name}:2"));
    let (lock, ttl) = (format!("{name}:lock"), Keys::SESSION_ACTIVE_TTL);
    while !*stop.borrow() {
        // This key is there all the time: who does not find it did not reach Redis.
        let found = seen.time("get", cache.get(name)).await;
        seen.misses += u64::from(found.is_none());
        seen.time("set", cache.set(&one, "1", ttl)).await;
        seen.time("delete", cache.delete(&one)).await;
        seen.time("delete_many", cache.delete_many(&[&one, &two])).await;
        seen.time("acquire_lock", cache.acquire_lock(&lock, ttl)).await;
        seen.time("release_lock", cache.release_lock(&lock)).await;
        seen.time("is_available", cache.is_available()).await;
        sleep(Duration::from_millis(5)).await;
    }
    seen
}

/// Two tasks of each instance compete for its cleanup on every tick. In how many ticks one of the
/// two, and only one, got to work.
async fn clean_up_without_redis(instances: &[Instance]) -> Vec<usize> {
    let mut once = vec![0; instances.len()];
    let mut ticks = interval(TICK);
    for _ in 0..TICKS {
        ticks.tick().await;
        for (once, instance) in once.iter_mut().zip(instances) {
            let lock = instance.redis.keys().cleanup_lock();
            let mut tasks = JoinSet::new();
            for _ in 0..2 {
                let cache = Arc::clone(&instance.cache);
                tasks.spawn(async move { cache.acquire_lock(lock, Keys::CLEANUP_LOCK_TTL).await });
            }
            let at_work = tasks.join_all().await;
            *once += usize::from(at_work[0] != at_work[1]);
            instance.cache.release_lock(lock).await;
        }
    }
    once
}

pub async fn redis_comes_back(
    server: &Arc<Server>,
    instances: &[Instance],
    claims: &mut Claims,
) -> Result<()> {
    let away = instances.iter().all(|one| !one.redis.is_connected());
    let mut waiting = JoinSet::new();
    for instance in instances.iter().cloned() {
        waiting.spawn(async move {
            instance.redis.connected().await;
            (instance.name, Instant::now())
        });
    }
    let mut reading = JoinSet::new();
    for instance in instances.iter().cloned() {
        reading.spawn(read_logged_out(instance));
    }
    act(server, |server| server.restart(Data::Kept)).await?;
    let back = Instant::now();
    println!("  Redis is started again, on the same port, with those sessions as they were");

    let mut connected = timeout(RECONNECT * 2, waiting.join_all()).await?;
    connected.sort();
    let mut slowest = Duration::ZERO;
    for (name, at) in connected {
        let after = at.saturating_duration_since(back);
        println!("  {name} is connected {after:.2?} after Redis was back");
        slowest = slowest.max(after);
    }
    claims.claim(
        away && slowest <= RECONNECT,
        &format!("All were away, and reconnected by themselves, the last after {slowest:.2?}."),
    );

    let read = timeout(RECONNECT * 2, reading.join_all()).await?;
    let reads: u64 = read.iter().map(|(reads, _)| reads).sum();
    let active: u64 = read.iter().map(|(_, active)| active).sum();
    claims.claim(
        active == 0,
        &format!(
            "Of {reads} reads of the sessions that were logged out, {active} found one active."
        ),
    );

    let mut shared = true;
    for writer in instances {
        writer.cache.set("news", writer.name, Keys::HEARTBEAT_TTL).await;
        for reader in instances {
            shared &= reader.cache.get("news").await.as_deref() == Some(writer.name);
        }
    }
    claims.claim(shared, "What any instance writes, all of them read.");

    let lock = instances[0].redis.keys().cleanup_lock();
    let mut holders = Vec::new();
    for instance in instances {
        if instance.cache.acquire_lock(lock, Keys::CLEANUP_LOCK_TTL).await {
            holders.push(instance.name);
        }
    }
    claims.claim(
        holders.len() == 1,
        &format!("The cleanup lock is one for all again, held by {}.", holders.join(", ")),
    );
    let reachable = instances.iter().all(|instance| instance.cache.health().is_reachable());
    claims.claim(reachable, "Each health() says that Redis is reachable.");
    Ok(())
}
