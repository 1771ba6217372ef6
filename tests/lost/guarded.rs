//! Locks with a guard. Where it is not known whether one was taken, it is freed in the background.

use std::sync::Mutex;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::{Acquire, Leases, LockInfo, LockToken, Release};
use auth_adapter_redis::{Error, LockGuard, Locks};

use super::lease::{LEASE, LOCK, LONGER, count_fences, extended, locked, released, take};
use super::operation::{After, Noun, Operation};
use super::support::LONG;
use super::world::World;

pub struct Guarded {
    world: World,
    ours: Locks,
    /// The same owner, past the proxy.
    direct: Leases,
    theirs: Leases,
    guard: Mutex<Option<LockGuard>>,
    token: Mutex<Option<LockToken>>,
    seen: Mutex<Option<LockInfo>>,
}

impl Noun for Guarded {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("lock/acquire", ["acquired"; 3]).after(After::Undone),
        // The next is another hold.
        Operation::new(
            "lock/acquire_fenced",
            [
                "acquired under 8000000000000001",
                "acquired under 8000000000000001",
                "acquired under 8000000000000002",
            ],
        )
        .after(After::Undone),
        Operation::new("lock/extend", ["extended to 100s"; 3]),
        // Its guard has gone with the first call.
        Operation::new("lock/hand_over", ["freed", "not ours", "no guard"]).after(After::Done),
        Operation::new(
            "lock/steal",
            ["stolen under 8000000000000001", "stolen under 8000000000000001", "changed"],
        )
        .after(After::Undone),
    ];

    fn new(world: World) -> Self {
        let ours = Locks::new(world.caller.clone()).with_owner("ours").unwrap();
        let direct = Leases::new(world.direct.clone()).with_owner("ours").unwrap();
        let theirs = Leases::new(world.direct.clone()).with_owner("theirs").unwrap();
        let (guard, token, seen) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { world, ours, direct, theirs, guard, token, seen }
    }

    async fn prepare(&self, operation: &Operation) {
        match operation.name {
            "lock/extend" | "lock/hand_over" => {
                // A busy machine may let a call take longer than it may.
                let taken = self.ours.acquire(LOCK, LEASE, LONG).await.unwrap();
                let guard = taken.guard().expect("it is free");
                *self.token.lock().unwrap() = Some(guard.token().clone());
                self.keep(guard);
            }
            "lock/acquire_fenced" => count_fences(&self.world),
            "lock/steal" => {
                count_fences(&self.world);
                let _theirs = take(&self.theirs, LOCK, LONGER).await;
                *self.seen.lock().unwrap() = self.theirs.inspect(LOCK).await.unwrap();
            }
            _ => {}
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        match operation.name {
            "lock/acquire" => Ok(self.acquired(self.ours.try_acquire(LOCK, LEASE).await?)),
            "lock/acquire_fenced" => {
                let fenced = self.ours.clone().with_fencing();
                Ok(self.acquired(fenced.try_acquire(LOCK, LEASE).await?))
            }
            "lock/steal" => {
                let seen = self.seen.lock().unwrap().clone().unwrap();
                let stolen = self.ours.steal(LOCK, &seen, LONGER).await?;
                Ok(stolen.map_or("changed".to_owned(), |guard| self.held("stolen", guard)))
            }
            name => {
                let Some(guard) = self.take() else { return Ok("no guard".to_owned()) };
                if name == "lock/hand_over" {
                    return Ok(released(guard.release().await?));
                }
                let told = guard.extend(LONGER).await;
                self.keep(guard);
                Ok(extended(told?))
            }
        }
    }

    /// The lock is taken and freed by another, or the same holder comes again, or theirs goes on.
    async fn meddle(&self, operation: &Operation) {
        let token = self.token.lock().unwrap().clone();
        match (operation.name, token) {
            ("lock/steal", _) => drop(self.world.raw("PEXPIRE", LOCK, &["3000000"])),
            (_, None) => {
                let token = take(&self.theirs, LOCK, LEASE).await;
                assert_eq!(self.theirs.release(LOCK, &token).await.unwrap(), Release::Freed);
            }
            (_, Some(token)) => {
                let _freed = self.direct.release(LOCK, &token).await.unwrap();
                let again = self.direct.retry_acquire(LOCK, token, LEASE).await.unwrap();
                assert!(matches!(again, Acquire::Acquired(_)), "{again:?}");
            }
        }
    }

    async fn undo(&self) {
        if let Some(guard) = self.take() {
            assert_eq!(guard.release().await.unwrap(), Release::Freed);
        }
    }

    fn state(&self) -> String {
        locked(&self.world, LOCK)
    }
}

impl Guarded {
    fn acquired(&self, outcome: Acquisition) -> String {
        match outcome {
            Acquisition::Acquired(guard) => self.held("acquired", guard),
            Acquisition::Held { .. } => "held".to_owned(),
        }
    }

    /// Keeps a guard, since to drop it releases the lock.
    fn held(&self, what: &str, guard: LockGuard) -> String {
        assert!(!guard.is_lost());
        let fence = guard.fence();
        self.keep(guard);
        fence.map_or(what.to_owned(), |fence| format!("{what} under {fence}"))
    }

    fn keep(&self, guard: LockGuard) {
        *self.guard.lock().unwrap() = Some(guard);
    }

    fn take(&self) -> Option<LockGuard> {
        self.guard.lock().unwrap().take()
    }
}
