//! How a worker takes a lock, believes in it and gives it back: as anyone would, or in a way that is
//! known to be wrong.

use std::sync::LazyLock;
use std::time::Duration;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::{AcquireFenced, Leases, LockToken};
use auth_adapter_redis::{Cache, Error, Fence, LockGuard, Locks, Redis, ScriptLibrary};

use super::log::{Leaving, now};
use super::support::doctored::copy;

/// What is wrong with a worker, for the laws to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doctored {
    /// It releases by a plain DEL, as if the lock had to be its own.
    DeletesPlainly,
    /// It counts its lease from the reply, not from before the call.
    CountsFromTheReply,
    /// It hands the lock over to the next without an end, as if that one could not die.
    GrantsWithoutLease,
}

impl Doctored {
    const ALL: [Self; 3] =
        [Self::DeletesPlainly, Self::CountsFromTheReply, Self::GrantsWithoutLease];

    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| format!("{what:?}") == word)
    }
}

/// Takes locks with fences.
pub struct Taker {
    redis: Redis,
    locks: Locks,
    leases: Leases,
    cache: Cache,
    doctored: Option<Doctored>,
}

/// A lock that its worker believes in.
pub struct Held<'a> {
    taker: &'a Taker,
    lock: String,
    pub fence: Fence,
    belief: Belief,
}

enum Belief {
    Guard(LockGuard),
    Until { ends: Duration, token: LockToken },
}

impl Taker {
    pub fn new(redis: &Redis, renews: bool, doctored: Option<Doctored>) -> Self {
        let locks = Locks::new(redis.clone()).with_fencing();
        let locks = if renews { locks.with_renewal() } else { locks };
        let (leases, cache) = (Leases::new(redis.clone()), Cache::new(redis.clone()));
        Self { redis: redis.clone(), locks, leases, cache, doctored }
    }

    pub async fn take(
        &self,
        lock: &str,
        ttl: Duration,
        patience: Duration,
    ) -> Result<Held<'_>, Leaving> {
        let (fence, belief) = match self.doctored {
            Some(Doctored::CountsFromTheReply) => self.leased(lock, ttl, patience).await?,
            _ => match self.locks.acquire(lock, ttl, patience).await {
                Ok(Acquisition::Acquired(guard)) => {
                    (guard.fence().expect("these locks have fences"), Belief::Guard(guard))
                }
                Ok(Acquisition::Held { .. }) => return Err(Leaving::Held),
                Err(_) => return Err(Leaving::Failed),
            },
        };
        Ok(Held { taker: self, lock: lock.to_owned(), fence, belief })
    }

    async fn leased(
        &self,
        lock: &str,
        ttl: Duration,
        patience: Duration,
    ) -> Result<(Fence, Belief), Leaving> {
        let gives_up = now() + patience;
        loop {
            let outcome = self.leases.acquire_fenced(lock, ttl).await;
            if let Ok(AcquireFenced::Acquired { token, fence }) = outcome {
                return Ok((fence, Belief::Until { ends: now() + ttl, token }));
            }
            if now() >= gives_up {
                return Err(Leaving::Held);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// `lock/hand_over`, but that the lock is granted without an end.
    async fn hand_over(&self, lock: &str) -> Result<i64, Error> {
        static SCRIPTS: LazyLock<&ScriptLibrary> = LazyLock::new(|| {
            let grant = "redis.call('SET', lock, holder, 'PX', lease)";
            copy(&[("shared/turn.lua", grant, "redis.call('SET', lock, holder)")])
        });
        let holder = self.cache.get(lock).await?.unwrap_or_default();
        let script = SCRIPTS.get("lock/hand_over").expect("it is there");
        let call = script.call(&self.redis).key("lock", lock);
        let call = call.key("queue", &format!("{{{lock}}}:queue"));
        let call = call.key("fence", &format!("{{{lock}}}:fence"));
        call.arg("holder", holder).run().await
    }

    /// Nothing is left to be released, unless Redis is away.
    pub async fn close(&self) {
        // What could not be released ends with its lease.
        let _unreleased = self.locks.close(Duration::from_secs(5)).await;
    }
}

impl Held<'_> {
    pub fn is_held(&self) -> bool {
        match &self.belief {
            Belief::Guard(guard) => !guard.is_lost(),
            Belief::Until { ends, .. } => now() < *ends,
        }
    }

    pub async fn extend(&self, ttl: Duration) -> Result<(), Error> {
        match &self.belief {
            Belief::Guard(guard) => guard.extend(ttl).await.map(drop),
            Belief::Until { .. } => Ok(()),
        }
    }

    /// Gives the lock back, with an answer or in the background.
    pub async fn give_back(self, waits: bool) {
        let taker = self.taker;
        match taker.doctored {
            Some(Doctored::DeletesPlainly) => drop(taker.cache.delete(&self.lock).await),
            Some(Doctored::GrantsWithoutLease) => drop(taker.hand_over(&self.lock).await),
            _ => {}
        }
        // Whatever comes of it: what is not released ends with its lease.
        match self.belief {
            Belief::Guard(guard) if waits => drop(guard.release().await),
            Belief::Guard(guard) => drop(guard),
            Belief::Until { token, .. } => drop(taker.leases.release(&self.lock, &token).await),
        }
    }
}
