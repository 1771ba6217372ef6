//! The seven operations, which never fail: what they say instead of an answer is counted.

use std::sync::Mutex;

use auth_adapter_redis::lock::{Leases, Release};
use auth_adapter_redis::{CacheAdapter, Error, RedisCacheAdapter};

use super::lease::{LEASE, LOCK, locked, take};
use super::operation::{After, Noun, Operation};
use super::support::LONG;
use super::world::World;

const KEYS: [&str; 2] = ["{k}one", "{k}two"];

pub struct Seven {
    world: World,
    ours: RedisCacheAdapter,
    theirs: Leases,
    /// The value of the lock that is ours.
    lock: Mutex<Option<String>>,
}

impl Noun for Seven {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("GET", ["old"; 3]).reads().or("none, swallowed"),
        Operation::new("SET", ["told"; 3]).or("told, swallowed"),
        Operation::new("DEL", ["told"; 3]).or("told, swallowed").after(After::Done),
        Operation::new("cache/delete_many", ["told"; 3]).or("told, swallowed").after(After::Done),
        // What is not known falls back to a lock in the process, which the next task finds.
        Operation::new("lock/acquire", ["true", "true", "false"])
            .or("true, swallowed")
            .after(After::Undone),
        Operation::new("lock/release", ["told"; 3]).or("told, swallowed").after(After::Done),
        Operation::new("PING", ["true"; 3]).reads().or("false"),
    ];

    fn new(world: World) -> Self {
        let ours = RedisCacheAdapter::new(world.caller.clone());
        let theirs = Leases::new(world.direct.clone()).with_owner("theirs").unwrap();
        Self { world, ours, theirs, lock: Mutex::default() }
    }

    async fn prepare(&self, operation: &Operation) {
        for key in KEYS {
            self.world.raw("SET", key, &["old", "PX", "60000"]);
        }
        if operation.name == "lock/release" {
            assert!(self.ours.acquire_lock(LOCK, LEASE).await);
            *self.lock.lock().unwrap() = Some(self.world.text(LOCK).expect("it is in Redis"));
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let (ours, [key, _]) = (&self.ours, KEYS);
        let before = ours.health().swallowed.total();
        let told = match operation.name {
            "GET" => ours.get(key).await.unwrap_or_else(|| "none".to_owned()),
            "lock/acquire" => ours.acquire_lock(LOCK, LEASE).await.to_string(),
            "PING" => ours.is_available().await.to_string(),
            name => {
                match name {
                    "SET" => ours.set(key, "new", LONG).await,
                    "DEL" => ours.delete(key).await,
                    "cache/delete_many" => ours.delete_many(&KEYS).await,
                    "lock/release" => ours.release_lock(LOCK).await,
                    other => panic!("say here how {other} is called"),
                }
                "told".to_owned()
            }
        };
        let swallowed = ours.health().swallowed.total() - before;
        Ok(if swallowed == 1 { told + ", swallowed" } else { told })
    }

    fn is_idle(&self) -> bool {
        self.ours.health().deletes_pending == 0
    }

    /// What was deleted is set once more, what was set is deleted, and the lock is taken and freed by
    /// another or by the same holder as before.
    async fn meddle(&self, operation: &Operation) {
        let lock = self.lock.lock().unwrap().clone();
        match (operation.name, lock) {
            ("lock/acquire", _) => {
                let token = take(&self.theirs, LOCK, LEASE).await;
                assert_eq!(self.theirs.release(LOCK, &token).await.unwrap(), Release::Freed);
            }
            ("lock/release", Some(lock)) => drop(self.world.raw("SET", LOCK, &[&lock, "EX", "30"])),
            ("SET", _) => drop(self.world.raw("DEL", KEYS[0], &[])),
            _ => {
                for key in KEYS {
                    self.world.raw("SET", key, &["newer", "PX", "60000"]);
                }
            }
        }
    }

    async fn undo(&self) {
        self.ours.release_lock(LOCK).await;
    }

    fn state(&self) -> String {
        let keys = KEYS.map(|key| self.world.string(key)).concat();
        // Without the owner, which says whose process it is.
        let lock = locked(&self.world, LOCK);
        keys + &lock
    }
}
