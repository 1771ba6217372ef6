//! Locks by their token.

use std::sync::Mutex;
use std::time::Duration;

use auth_adapter_redis::Error;
use auth_adapter_redis::lock::{
    Acquire, AcquireFenced, Extend, Leases, LockInfo, LockToken, Release, Steal,
};

use super::operation::{Noun, Operation};
use super::world::{World, magnitude, owner};

pub const LOCK: &str = "{l}lock";
const OTHER: &str = "{l}other";
pub const LEASE: Duration = Duration::from_secs(30);
pub const LONGER: Duration = Duration::from_secs(300);
/// Later than any clock, so that the next fence is one more.
const LAST_FENCE: &str = "8000000000000000";

pub struct ByToken {
    world: World,
    ours: Leases,
    /// The same owner, past the proxy.
    direct: Leases,
    theirs: Leases,
    tokens: Mutex<Vec<LockToken>>,
    seen: Mutex<Option<LockInfo>>,
}

impl Noun for ByToken {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("lock/acquire", ["acquired"; 3]),
        Operation::new("lock/acquire", ["held for 100s"; 3]).case("of another").reads(),
        Operation::new("lock/acquire_fenced", ["acquired under 8000000000000001"; 3]),
        Operation::new("lock/extend", ["extended to 100s"; 3]),
        Operation::new("lock/extend_many", ["extended to 100s, extended to 100s"; 3]),
        Operation::new("lock/release", ["freed", "not ours", "not ours"]),
        // A second theft is another's.
        Operation::new(
            "lock/steal",
            ["stolen under 8000000000000001", "stolen under 8000000000000001", "changed"],
        ),
        Operation::new("lock/peek", ["theirs for 100s"; 3]).reads(),
        Operation::new("lock/inspect", ["theirs for 100s under none"; 3]).reads(),
        Operation::new("SCAN", ["theirs"; 3]).reads(),
    ];

    fn new(world: World) -> Self {
        let ours = Leases::new(world.caller.clone()).with_owner("ours").unwrap();
        let direct = Leases::new(world.direct.clone()).with_owner("ours").unwrap();
        let theirs = Leases::new(world.direct.clone()).with_owner("theirs").unwrap();
        Self { world, ours, direct, theirs, tokens: Mutex::default(), seen: Mutex::default() }
    }

    async fn prepare(&self, operation: &Operation) {
        match (operation.name, operation.case) {
            ("lock/acquire", "") => {}
            ("lock/acquire_fenced", _) => count_fences(&self.world),
            ("lock/extend" | "lock/extend_many" | "lock/release", _) => {
                for key in [LOCK, OTHER] {
                    let token = take(&self.direct, key, LEASE).await;
                    self.tokens.lock().unwrap().push(token);
                }
            }
            (name, _) => {
                if name == "lock/steal" {
                    count_fences(&self.world);
                }
                let _theirs = take(&self.theirs, LOCK, LONGER).await;
                *self.seen.lock().unwrap() = self.theirs.inspect(LOCK).await.unwrap();
            }
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let token = self.tokens.lock().unwrap().first().cloned();
        let ours = &self.ours;
        Ok(match operation.name {
            "lock/acquire" => {
                let outcome = match token {
                    None => ours.acquire(LOCK, LEASE).await?,
                    Some(token) => ours.retry_acquire(LOCK, token, LEASE).await?,
                };
                match outcome {
                    Acquire::Acquired(_) => "acquired".to_owned(),
                    Acquire::Held { left } => format!("held for {}", magnitude(left.unwrap())),
                    Acquire::Unknown { token, error } => return Err(self.keep(token, error)),
                }
            }
            "lock/acquire_fenced" => {
                let outcome = match token {
                    None => ours.acquire_fenced(LOCK, LEASE).await?,
                    Some(token) => ours.retry_acquire_fenced(LOCK, token, LEASE).await?,
                };
                match outcome {
                    AcquireFenced::Acquired { fence, .. } => format!("acquired under {fence}"),
                    AcquireFenced::Held { .. } => "held".to_owned(),
                    AcquireFenced::Unknown { token, error } => return Err(self.keep(token, error)),
                }
            }
            "lock/extend" => extended(ours.extend(LOCK, &token.unwrap(), LONGER).await?),
            "lock/extend_many" => {
                let tokens = self.tokens.lock().unwrap().clone();
                let both = [(LOCK, &tokens[0], LONGER), (OTHER, &tokens[1], LONGER)];
                let told = ours.extend_many(&both).await?;
                told.into_iter().map(extended).collect::<Vec<_>>().join(", ")
            }
            "lock/release" => released(ours.release(LOCK, &token.unwrap()).await?),
            "lock/steal" => {
                let seen = self.seen.lock().unwrap().clone().unwrap();
                match ours.steal(LOCK, &seen, LONGER).await? {
                    Steal::Stolen { fence, .. } => format!("stolen under {fence}"),
                    Steal::Changed => "changed".to_owned(),
                    Steal::Unknown { error, .. } => return Err(error),
                }
            }
            "lock/peek" => {
                let held = ours.peek(LOCK).await?.unwrap();
                format!("{} for {}", held.owner.unwrap(), magnitude(held.left.unwrap()))
            }
            "lock/inspect" => {
                let held = ours.inspect(LOCK).await?.unwrap();
                let fence = if held.fence.is_some() { "one" } else { "none" };
                let left = magnitude(held.left.unwrap());
                format!("{} for {left} under {fence}", held.owner.unwrap())
            }
            "SCAN" => {
                let locks = ours.list("{l}").await?;
                locks.into_iter().filter_map(|(_, held)| held.owner).collect::<Vec<_>>().join(", ")
            }
            other => panic!("say here how {other} is called"),
        })
    }

    /// The lock is taken and freed by another, or the same holder comes again, or theirs goes on.
    async fn meddle(&self, operation: &Operation) {
        match operation.name {
            "lock/acquire" | "lock/acquire_fenced" => {
                let token = take(&self.theirs, LOCK, LEASE).await;
                assert_eq!(self.theirs.release(LOCK, &token).await.unwrap(), Release::Freed);
            }
            "lock/steal" => {
                // Their lease ends later, and it is the hold that was seen.
                self.world.raw("PEXPIRE", LOCK, &["3000000"]);
            }
            _ => {
                let tokens = self.tokens.lock().unwrap().clone();
                for (key, token) in [LOCK, OTHER].into_iter().zip(tokens) {
                    assert_eq!(self.direct.release(key, &token).await.unwrap(), Release::Freed);
                    let again = self.direct.retry_acquire(key, token, LEASE).await.unwrap();
                    assert!(matches!(again, Acquire::Acquired(_)), "{again:?}");
                }
            }
        }
    }

    fn state(&self) -> String {
        locked(&self.world, LOCK) + &locked(&self.world, OTHER)
    }
}

impl ByToken {
    /// Keeps the token of an acquire that may have been executed, for the next one.
    fn keep(&self, token: LockToken, error: Error) -> Error {
        self.tokens.lock().unwrap().push(token);
        error
    }
}

/// Takes a lock that is free.
pub async fn take(leases: &Leases, key: &str, ttl: Duration) -> LockToken {
    match leases.acquire(key, ttl).await.unwrap() {
        Acquire::Acquired(token) => token,
        other => panic!("{other:?}"),
    }
}

/// Leaves the last fence of a hold before all of these.
pub fn count_fences(world: &World) {
    let counter = format!("{LOCK}::fence");
    world.raw("SET", &counter, &[&format!("{LAST_FENCE}:{}:earlier", "0".repeat(32))]);
}

/// Who has the lock and for how long, and the last fence and whose it is.
pub fn locked(world: &World, key: &str) -> String {
    let holder = world.text(key).unwrap_or_else(|| "nobody".to_owned());
    let counter = format!("{key}::fence");
    let counted = world.text(&counter).map(|counted| {
        let number = counted.split(':').next().unwrap();
        format!("{number} of {} is the last fence, {}", owner(&counted), world.end(&counter))
    });
    let counted = counted.unwrap_or_else(|| "no fence".to_owned());
    format!("{key} of {}, {}; {counted}\n", owner(&holder), world.end(key))
}

pub fn extended(told: Extend) -> String {
    match told {
        Extend::Extended { left } => format!("extended to {}", magnitude(left)),
        Extend::NotOurs => "not ours".to_owned(),
    }
}

pub fn released(told: Release) -> String {
    match told {
        Release::Freed => "freed".to_owned(),
        Release::NotOurs => "not ours".to_owned(),
    }
}
