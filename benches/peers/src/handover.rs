//! A contended lock handed over.

use std::time::Duration;

use auth_adapter_redis::testing::Server;
use rslock::{LockGuard, LockManager};

use crate::measure::{Goal, Ratio};
use crate::ours::Ours;
use crate::race::{self, Contender, KEY, LEASE, Race};

const ROUNDS: usize = 9;
const LASTS: Duration = Duration::from_millis(400);
/// Who waits for 100 ms on average needs longer for as good a median.
const RSLOCK_LASTS: Duration = Duration::from_millis(2000);

/// With its defaults: a try every 0 to 200 ms.
struct Rslock(LockManager);

pub fn vs_rslock_2() -> Ratio {
    let server = race::server();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(Race::run::<Ours>(&server, 2, LASTS));
        theirs.push(Race::run::<Rslock>(&server, 2, RSLOCK_LASTS));
    }
    let (ours, theirs) = (Race::all(&ours), Race::all(&theirs));
    ours.tell("Locks", 2);
    theirs.tell("rslock", 2);
    Ratio {
        name: "handover_vs_rslock_2",
        goal: Goal::AtLeast(300.0),
        samples: vec![theirs.micros(0.5) / ours.micros(0.5)],
        what: "time: a handover by rslock over one by Locks, 2 workers, the medians",
    }
}

impl Contender for Rslock {
    type Held = LockGuard;

    async fn connect(server: &Server) -> Self {
        let manager = LockManager::new(vec![server.url()]);
        // It connects with its first call.
        let lock = manager.lock("bench:first", LEASE).await.unwrap();
        lock.release().await;
        Self(manager)
    }

    async fn acquire(&mut self) -> LockGuard {
        self.0.acquire(KEY, LEASE).await.unwrap()
    }

    async fn release(&mut self, guard: LockGuard) {
        guard.release().await;
    }

    fn is_try(words: &[&str]) -> bool {
        words[0] == "SET"
    }
}
