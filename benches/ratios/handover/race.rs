//! Workers that hand one lock on for a while.
//!
//! Each worker has a thread, a runtime of that thread and connections of its own, as separate processes
//! would have; they share one clock. Whoever has the lock keeps it for 2 to 10 ms, so that the others wait
//! when it is released and no poll goes in step with the holders. Who has released waits until another has
//! the lock, then queues again.
//!
//! A round trip of a connection that was idle for milliseconds takes several times as long as one of many in
//! a row, on machines that put an idle core to sleep. A release comes after such a pause, so the round trip
//! that it is put in relation to does as well: in the middle of each hold, after as long a pause as the one
//! before the release.

use std::borrow::Borrow;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::Redis;
use auth_adapter_redis::lock::Leases;
use auth_adapter_redis::testing::{Reply, Server};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::support::handle;

pub const KEY: &str = "bench:contended";
/// Much longer than anyone keeps the lock.
pub const LEASE: Duration = Duration::from_secs(10);
/// Much longer than a race lasts.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

const MOMENT: Duration = Duration::from_millis(1);

/// A way to wait for a lock.
pub trait Contender: Send + Sized {
    type Held;

    async fn connect(server: &Server) -> Self;
    /// Waits until the lock is this contender's.
    async fn acquire(&mut self) -> Self::Held;
    async fn release(&mut self, held: Self::Held);
    /// Whether these words of a command try to take the lock, or to queue for it.
    fn is_try(words: &[&str]) -> bool;
}

/// What one or several races came to.
#[derive(Default)]
pub struct Race {
    /// From the instant before a release was sent to when the acquire of one who waited then returned.
    pub handovers: Vec<Duration>,
    /// One call of a script that reads the lock, in the middle of every other hold.
    pub round_trips: Vec<Duration>,
    /// A PING, in the middle of the others.
    pub pings: Vec<Duration>,
    pub acquired: usize,
    pub tries: usize,
}

/// What the workers of a race share.
struct Course {
    ends: Instant,
    /// How often the lock was acquired.
    taken: watch::Sender<usize>,
    /// Set by the holder, just before it releases.
    released: Mutex<Option<Instant>>,
}

struct Worker<C> {
    runtime: Runtime,
    contender: C,
    /// For round trips.
    idle: Redis,
}

/// A server for races, which logs all calls as slow ones, so that tries can be counted.
pub fn server() -> Server {
    let log_all = ["--slowlog-log-slower-than", "0", "--slowlog-max-len", "1000000"];
    Server::builder().args(log_all).start().unwrap()
}

impl Race {
    /// Races so many workers for so long.
    pub fn run<C: Contender>(server: &Server, workers: usize, lasts: Duration) -> Self {
        let workers: Vec<_> = (0..workers).map(|_| Worker::<C>::new(server)).collect();
        told(server, &["SLOWLOG", "RESET"]);
        let (taken, _) = watch::channel(0);
        let released = Mutex::default();
        let course = &Course { ends: Instant::now() + lasts, taken, released };
        let mut race = Self::default();
        thread::scope(|scope| {
            let run = |worker: Worker<C>| scope.spawn(|| worker.run(course));
            let running: Vec<_> = workers.into_iter().map(run).collect();
            race = Self::all(running.into_iter().map(|worker| worker.join().unwrap()));
        });
        race.tries = tries::<C>(server);
        race
    }

    /// These as one.
    pub fn all(races: impl IntoIterator<Item = impl Borrow<Self>>) -> Self {
        let mut all = Self::default();
        for race in races {
            let race = race.borrow();
            all.handovers.extend_from_slice(&race.handovers);
            all.round_trips.extend_from_slice(&race.round_trips);
            all.pings.extend_from_slice(&race.pings);
            all.acquired += race.acquired;
            all.tries += race.tries;
        }
        all
    }

    /// The handover, in microseconds, that so large a part of them does not exceed.
    pub fn micros(&self, part: f64) -> f64 {
        quantile(&self.handovers, part)
    }

    /// The median round trip, in microseconds.
    pub fn round_trip(&self) -> f64 {
        quantile(&self.round_trips, 0.5)
    }

    /// How many tries an acquisition takes.
    pub fn tries_each(&self) -> f64 {
        self.tries as f64 / self.acquired as f64
    }

    /// Prints a line to read.
    pub fn tell(&self, name: &str, workers: usize) {
        let [p50, p99] = [0.5, 0.99].map(|part| self.micros(part));
        println!(
            "handover, {workers:>2} workers, {name:<13} p50 {p50:>7.0} us  p99 {p99:>7.0} us  \
             tries {:>5.2}  round trip {:>4.0} us  PING {:>4.0} us  n {}",
            self.tries_each(),
            self.round_trip(),
            quantile(&self.pings, 0.5),
            self.handovers.len(),
        );
    }
}

impl<C: Contender> Worker<C> {
    fn new(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (contender, idle) =
            runtime.block_on(async { (C::connect(server).await, handle(server).await) });
        Self { runtime, contender, idle }
    }

    fn run(self, course: &Course) -> Race {
        let Self { runtime, mut contender, idle } = self;
        let leases = Leases::new(idle.clone());
        let mut taken = course.taken.subscribe();
        let mut race = Race::default();
        runtime.block_on(async {
            loop {
                let began = Instant::now();
                let held = contender.acquire().await;
                let acquired = Instant::now();
                race.acquired += 1;
                if let Some(released) = course.released.lock().unwrap().take()
                    && began + MOMENT < released
                {
                    race.handovers.push(acquired - released);
                }
                course.taken.send_modify(|taken| *taken += 1);
                // Asked only with the lock in hand, so that whoever has released finds a next holder.
                if acquired >= course.ends {
                    contender.release(held).await;
                    return;
                }
                let turn = *taken.borrow_and_update();
                for call in 0..16 + turn % 5 {
                    let began = Instant::now();
                    if call.is_multiple_of(2) {
                        assert!(leases.peek(KEY).await.unwrap().is_some());
                        race.round_trips.push(began.elapsed());
                    } else {
                        idle.ping().await.unwrap();
                        race.pings.push(began.elapsed());
                    }
                }
                *course.released.lock().unwrap() = Some(Instant::now());
                contender.release(held).await;
                taken.wait_for(|&now| now > turn).await.unwrap();
            }
        });
        race
    }
}

/// How many of the calls since the last reset of the log were tries.
fn tries<C: Contender>(server: &Server) -> usize {
    let entries = told(server, &["SLOWLOG", "GET", "1000000"]);
    let is_try = |entry: &&Reply| {
        let words = entry.array().unwrap()[3].array().unwrap();
        C::is_try(&words.iter().filter_map(Reply::text).collect::<Vec<_>>())
    };
    entries.array().unwrap().iter().filter(is_try).count()
}

fn told(server: &Server, words: &[&str]) -> Reply {
    let reply = server.command(words).unwrap();
    assert!(!reply.is_error(), "{reply:?}");
    reply
}

fn quantile(times: &[Duration], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (part * (sorted.len() - 1) as f64).round() as usize;
    sorted[at].as_secs_f64() * 1e6
}
