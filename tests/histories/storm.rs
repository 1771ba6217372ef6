//! A storm: workers at their locks, while everything around them breaks.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Locks, Redis};
use tokio::runtime::Runtime;

use super::guarding::Doctored;
use super::history::History;
use super::laws::{Broken, Law, broken};
use super::support::HANG;
use super::weather::{Fault, Weather};
use super::worker::{Orders, TTL, lock_key};

const PROCESSES: usize = 6;

/// For how long the dead may still be granted a lock, each for a moment.
const LEFTOVERS: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Storm {
    pub name: &'static str,
    pub seed: u64,
    pub faults: &'static [Fault],
    pub locks: usize,
    pub lasts: Duration,
    /// How long a worker waits that waits to the end.
    pub patience: Duration,
    pub doctored: Option<Doctored>,
}

/// What a storm was.
#[derive(Debug, Default)]
pub struct Told {
    pub acquisitions: usize,
    pub updates: usize,
    pub faults: BTreeMap<Fault, u32>,
    /// None in a storm that keeps the laws.
    pub broken: Vec<Broken>,
}

impl Storm {
    /// The log is kept where a law is broken.
    pub fn rages(&self) -> Told {
        let server = Server::builder()
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .start()
            .unwrap();
        let orders = Orders {
            url: String::new(),
            log: self.log(),
            process: 0,
            seed: self.seed,
            locks: self.locks,
            patience: self.patience,
            doctored: self.doctored,
        };
        let mut weather = Weather::start(&server, PROCESSES, &orders);
        let (began, mut turn) = (Instant::now(), Vec::new());
        while began.elapsed() < self.lasts {
            // Each in its turn, so that none is left out.
            if turn.is_empty() {
                turn = self.faults.to_vec();
            }
            if !turn.is_empty() {
                let fault = turn.swap_remove(weather.random.below(turn.len()));
                weather.brings(fault);
            }
            std::thread::sleep(weather.random.millis(10, 120));
            weather.mend();
        }
        weather.clear();
        // Who is not told by then will never be, which the history shows.
        let all_ended = weather.ends(self.patience + HANG);
        let faults = std::mem::take(&mut weather.broken);
        drop(weather);
        let history = History::told(&fs::read_to_string(self.log()).unwrap());
        let mut broken = broken(&history, self.patience);
        assert!(all_ended || !broken.is_empty(), "{self}: workers that were told did not end");
        broken.extend(self.is_free(&server).err());
        if broken.is_empty() {
            self.forget();
        }
        Told {
            acquisitions: history.acquisitions(),
            updates: history.attempts.values().map(|attempt| attempt.updates.len()).sum(),
            faults,
            broken,
        }
    }

    /// Removes the log.
    pub fn forget(&self) {
        fs::remove_file(self.log()).unwrap();
    }

    /// Whether each lock can be taken when the leases of the dead have ended, and nothing is left of it
    /// and its queue when it is released.
    fn is_free(&self, server: &Server) -> Result<(), Broken> {
        let runtime = Runtime::new().unwrap();
        let locks = Locks::new(runtime.block_on(Redis::connect(&server.url())).unwrap());
        for key in (0..self.locks).map(lock_key) {
            let queue = format!("{{{key}}}:queue");
            let until = Instant::now() + Duration::from_millis(TTL.1) + LEFTOVERS;
            loop {
                let taken = runtime.block_on(locks.try_acquire(&key, HANG)).unwrap().guard();
                let was_free = taken.is_some();
                if let Some(guard) = taken {
                    let _outcome = runtime.block_on(guard.release()).unwrap();
                }
                let ask = |words: &[&str]| server.command(words).unwrap();
                if was_free && ask(&["EXISTS", &key, &queue]).int() == Some(0) {
                    break;
                }
                if Instant::now() > until {
                    let (holder, left) = (ask(&["GET", &key]), ask(&["PTTL", &key]).int());
                    let waiting = ask(&["ZCARD", &queue]).int();
                    let told = format!(
                        "{key} has {:?} for {left:?} ms, and {waiting:?} wait for it",
                        holder.text()
                    );
                    return Err(Broken { law: Law::FreeAfterwards, told });
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        let name = format!("histories-{}-{}.log", self.name, self.seed);
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the storm {:?} with the seed {}: {}", self.name, self.seed, self.log().display())
    }
}
