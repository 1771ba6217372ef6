//! A process of workers: they take locks, change the registers that the locks guard, and write down
//! what they see.

use std::env;
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::{Cache, FencedStrings};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::guarding::{Doctored, Held, Taker};
use super::log::{Event, Leaving, Log, Wrote, now};
use super::random::Random;
use super::support::quick;

/// Where a process finds its orders.
const ORDERS: &str = "HISTORIES_WORKER";
/// How many workers a process has.
const WORKERS: u64 = 6;
/// The leases, in milliseconds: from and to.
pub const TTL: (u64, u64) = (100, 500);
/// Who holds a lock until it is lost holds a renewed one for so long.
const STAYS: Duration = Duration::from_millis(700);

/// What a process of workers is told.
#[derive(Clone, Debug)]
pub struct Orders {
    pub url: String,
    pub log: PathBuf,
    pub process: u64,
    pub seed: u64,
    pub locks: usize,
    /// How long one waits who waits to the end.
    pub patience: Duration,
    pub doctored: Option<Doctored>,
}

impl Orders {
    /// The variable of a process's environment that carries them.
    pub fn variable(&self) -> (&'static str, String) {
        let doctored = self.doctored.map_or(String::new(), |what| format!("{what:?}"));
        let numbers = format!("{}\n{}\n{}", self.process, self.seed, self.locks);
        let patience = self.patience.as_millis();
        let log = self.log.to_str().expect("the target directory is UTF-8");
        (ORDERS, format!("{}\n{log}\n{numbers}\n{patience}\n{doctored}", self.url))
    }

    fn given() -> Option<Self> {
        let text = env::var(ORDERS).ok()?;
        let words: Vec<&str> = text.split('\n').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("orders have numbers");
        Some(Self {
            url: words[0].to_owned(),
            log: words[1].into(),
            process: number(2),
            seed: number(3),
            locks: number(4) as usize,
            patience: Duration::from_millis(number(5)),
            doctored: Doctored::of(words[6]),
        })
    }
}

pub fn lock_key(lock: usize) -> String {
    format!("lock:{lock}")
}

/// Run by the harness as a process of its own, and by everyone else for nothing.
#[test]
fn works_as_it_is_told() {
    let Some(orders) = Orders::given() else { return };
    // A process that is stopped cannot see that the harness is gone.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work(orders));
}

async fn work(orders: Orders) {
    let redis = quick(orders.url.clone()).build().unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ends);
    std::thread::spawn(move || {
        // The harness closes it, or has died.
        let _closed = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    let mut random = Random::new(orders.seed);
    let takers = [false, true].map(|renews| Rc::new(Taker::new(&redis, renews, orders.doctored)));
    let log = Rc::new(Log::open(&orders.log, orders.process));
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let worker = Worker {
                taker: Rc::clone(&takers[number as usize % takers.len()]),
                cache: Cache::new(redis.clone()),
                strings: FencedStrings::new(redis.clone()),
                log: Rc::clone(&log),
                random: Random::new(random.next()),
                attempt: number,
                locks: orders.locks,
                patience: orders.patience,
                // What is wrong shows where leases end.
                stays: if orders.doctored.is_some() { 4 } else { 80 },
                next: (orders.process * WORKERS + number) << 24,
            };
            tokio::task::spawn_local(worker.run(Arc::clone(&ends)))
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    for taker in takers {
        taker.close().await;
    }
}

struct Worker {
    taker: Rc<Taker>,
    cache: Cache,
    strings: FencedStrings,
    log: Rc<Log>,
    random: Random,
    /// The present attempt, counted in steps of the number of workers.
    attempt: u64,
    locks: usize,
    patience: Duration,
    /// One in so many times it holds a lock until that is lost.
    stays: usize,
    /// What it writes next, which nobody else writes.
    next: u64,
}

impl Worker {
    async fn run(mut self, ends: Arc<AtomicBool>) {
        while !ends.load(Ordering::Relaxed) {
            self.attempt += WORKERS;
            let lock = self.random.below(self.locks);
            let taker = Rc::clone(&self.taker);
            if let Some(held) = self.take(&taker, lock).await {
                self.stay(lock, &held).await;
                held.give_back(self.random.one_in(2)).await;
            }
            sleep(self.random.millis(0, 3)).await;
        }
    }

    async fn take<'a>(&mut self, taker: &'a Taker, lock: usize) -> Option<Held<'a>> {
        let ttl = self.random.millis(TTL.0, TTL.1);
        let patience = match self.random.one_in(4) {
            true => self.random.millis(0, 200),
            false => self.patience,
        };
        let enough = match self.random.one_in(12) {
            true => self.random.millis(0, 100),
            false => Duration::MAX,
        };
        self.write(now(), Event::Wants { lock, patience: patience.as_millis() as u64 });
        let key = lock_key(lock);
        let outcome = timeout(enough, taker.take(&key, ttl, patience)).await;
        match outcome.unwrap_or(Err(Leaving::Dropped)) {
            Ok(held) => {
                self.write(now(), Event::Has { fence: held.fence.as_u64() });
                Some(held)
            }
            Err(why) => {
                self.write(now(), Event::Leaves(why));
                None
            }
        }
    }

    /// Does one thing or another under the lock, as long as it is held.
    async fn stay(&mut self, lock: usize, held: &Held<'_>) {
        if self.random.one_in(self.stays) {
            let entered = now();
            while self.is_held(held) && now() - entered < STAYS {
                self.update(lock, held).await;
                sleep(Duration::from_millis(2)).await;
            }
            // It is late to give it back.
            sleep(self.random.millis(0, 100)).await;
            return;
        }
        if self.random.one_in(20) && self.is_held(held) {
            // Where this fails, its guard counts on as before.
            let _extended = held.extend(self.random.millis(TTL.0, TTL.1)).await;
        }
        for _ in 0..=self.random.below(3) {
            if self.is_held(held) {
                self.update(lock, held).await;
            }
        }
    }

    /// Reads the register and writes something else, under the fence.
    async fn update(&mut self, lock: usize, held: &Held<'_>) {
        let key = format!("register:{lock}");
        self.next += 1;
        let to = self.next;
        self.write(now(), Event::Updates { to });
        let Ok(read) = self.cache.get(&key).await else { return };
        let from = read.map_or(0, |text| text.parse().expect("workers write numbers"));
        self.write(now(), Event::Read { from });
        let outcome = self.strings.check_and_set(&key, &to.to_string(), held.fence).await;
        let wrote = match outcome {
            Ok(CheckAndSet::Set) => Wrote::Set,
            // No write of this worker is under way, so that it cannot have been overtaken.
            Ok(CheckAndSet::Refused { .. } | CheckAndSet::Overtaken) => Wrote::Refused,
            Err(error) if error.may_have_executed() => Wrote::Unknown,
            Err(_) => Wrote::Nothing,
        };
        self.write(now(), Event::Wrote(wrote));
        self.is_held(held);
    }

    /// A guard that says held does so for an instant after the one that is written down, and for all
    /// since it was made: lost is final.
    fn is_held(&self, held: &Held<'_>) -> bool {
        let before = now();
        let is_held = held.is_held();
        if is_held {
            self.write(before, Event::Held);
        }
        is_held
    }

    fn write(&self, at: Duration, event: Event) {
        self.log.append(at, self.attempt, event);
    }
}
