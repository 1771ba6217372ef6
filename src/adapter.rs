//! The seven operations of an auth server's cache, which never fail and never hang.

mod health;
mod held;

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::cache::Cache;
use crate::connection::Redis;
use crate::error::{Error, Result, ServerErrorKind};
use crate::lock::{Acquire, Leases, LockToken};
use crate::releases::Releases;
use health::{Call, Counters};
use held::{Held, Hold};

pub use health::{Calls, Health};

/// How many locks one adapter frees in the background at a time.
const RELEASES_AT_ONCE: usize = 256;

/// What an auth server asks of its cache. Object safe: keep it as `Arc<dyn CacheAdapter>`.
///
/// No operation fails, panics or takes longer than the handle's call deadline. What it does
/// instead, while Redis is away, stands at each.
#[async_trait]
pub trait CacheAdapter: Send + Sync {
    /// The string at `key`. Redis away: none, as for a key that is not there.
    async fn get(&self, key: &str) -> Option<String>;

    /// Keeps `value` at `key` for `ttl`. Redis away: nothing is kept.
    async fn set(&self, key: &str, value: &str, ttl: Duration);

    /// Deletes `key`. Redis away: what was cached stays until its TTL ends.
    async fn delete(&self, key: &str);

    /// Deletes all these keys at one instant; on a cluster at one instant for each slot. Redis
    /// away: as for [`delete`](Self::delete).
    async fn delete_many(&self, keys: &[&str]);

    /// Takes the lock at `key` for `ttl`; whether it was free. The token stays inside. Redis away:
    /// a lock within this process, so that of several tasks one works.
    async fn acquire_lock(&self, key: &str, ttl: Duration) -> bool;

    /// Frees the lock at `key` that this adapter took first, if its token still owns it, and
    /// nobody else's. Redis away: it is tried in the background until the lock's TTL has ended.
    ///
    /// Release each lock that was acquired, also late: a release that is left out makes the next one
    /// of the same key take its place, until one TTL after that lock's own.
    async fn release_lock(&self, key: &str);

    /// Whether Redis answers. Away: false.
    async fn is_available(&self) -> bool;
}

/// What [`RedisCacheAdapter::acquire_lock`](CacheAdapter::acquire_lock) does while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LockFallback {
    /// A lock inside this process: a job runs once per instance.
    #[default]
    InProcess,
    /// No lock: the job does not run until Redis is back.
    Refuse,
}

/// [`CacheAdapter`] on Redis or Valkey.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::{CacheAdapter, Redis, RedisCacheAdapter, key::Keys};
/// use std::sync::Arc;
///
/// let cache: Arc<dyn CacheAdapter> = Arc::new(RedisCacheAdapter::new(Redis::connect(&url).await?));
/// if cache.acquire_lock("cleanup:sessions:lock", Keys::CLEANUP_LOCK_TTL).await {
///     // … remove expired sessions from the database …
///     cache.release_lock("cleanup:sessions:lock").await;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedisCacheAdapter {
    cache: Cache,
    leases: Leases,
    fallback: LockFallback,
    held: Held,
    releases: Releases,
    counters: Counters,
}

impl RedisCacheAdapter {
    /// An adapter on this handle, with locks in this process while Redis is away.
    pub fn new(redis: Redis) -> Self {
        Self {
            cache: Cache::new(redis.clone()),
            leases: Leases::new(redis),
            fallback: LockFallback::default(),
            held: Held::default(),
            releases: Releases::new(RELEASES_AT_ONCE),
            counters: Counters::default(),
        }
    }

    /// The same adapter with another way to lock while Redis is away.
    pub fn with_lock_fallback(mut self, fallback: LockFallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// What it swallowed and refused so far.
    pub fn health(&self) -> Health {
        self.counters.health()
    }

    /// The answer of a call, or what stands in for it; every error is counted.
    fn or<T>(&self, call: Call, answer: Result<T>, instead: T) -> T {
        answer.unwrap_or_else(|error| {
            self.counters.failed(call, &error);
            instead
        })
    }

    fn lock_in_process(&self, key: &str, ttl: Duration) -> bool {
        match self.fallback {
            LockFallback::InProcess => self.held.acquire_in_process(key, ttl),
            LockFallback::Refuse => false,
        }
    }
}

#[async_trait]
impl CacheAdapter for RedisCacheAdapter {
    async fn get(&self, key: &str) -> Option<String> {
        let answer = self.counters.seen(self.cache.get(key).await);
        self.or(Call::Get, answer, None)
    }

    async fn set(&self, key: &str, value: &str, ttl: Duration) {
        let answer = self.counters.seen(self.cache.set(key, value, ttl).await);
        self.or(Call::Set, answer, ());
    }

    async fn delete(&self, key: &str) {
        let answer = self.counters.seen(self.cache.delete(key).await);
        self.or(Call::Delete, answer.map(drop), ());
    }

    async fn delete_many(&self, keys: &[&str]) {
        let answer = self.counters.seen(self.cache.delete_many_by_slot(keys).await);
        self.or(Call::DeleteMany, answer.map(drop), ());
    }

    async fn acquire_lock(&self, key: &str, ttl: Duration) -> bool {
        if self.held.is_held_in_process(key) {
            return false;
        }
        let started = Instant::now();
        let token = match LockToken::new() {
            Ok(token) => token,
            Err(error) => {
                self.counters.failed(Call::AcquireLock, &error);
                return self.lock_in_process(key, ttl);
            }
        };
        // Frees what this call may have taken, if it is dropped or its answer is lost.
        let pending = self.releases.pending(&self.leases, &key.into(), &token, ttl);
        let answer = self.leases.retry_acquire(key, token.clone(), ttl).await;
        match self.counters.seen(answer) {
            Ok(Acquire::Acquired(token)) => {
                pending.disarm();
                self.held.push(key, Hold::remote(token, started, ttl));
                true
            }
            Ok(Acquire::Held { .. }) => {
                pending.disarm();
                false
            }
            Ok(Acquire::Unknown { error, .. }) => {
                self.counters.failed(Call::AcquireLock, &error);
                self.lock_in_process(key, ttl)
            }
            Err(error) => {
                pending.disarm();
                self.counters.failed(Call::AcquireLock, &error);
                !is_rejection(&error) && self.lock_in_process(key, ttl)
            }
        }
    }

    async fn release_lock(&self, key: &str) {
        let Some((token, left)) = self.held.pop(key).and_then(Hold::into_remote) else {
            return;
        };
        let pending = self.releases.pending(&self.leases, &key.into(), &token, left);
        match self.counters.seen(self.leases.release(key, &token).await) {
            Ok(_) => pending.disarm(),
            Err(error) => self.counters.failed(Call::ReleaseLock, &error),
        }
    }

    async fn is_available(&self) -> bool {
        self.counters.seen(self.cache.redis().ping().await).is_ok()
    }
}

/// Whether the call itself was at fault, so that it would fail on a sound Redis too.
fn is_rejection(error: &Error) -> bool {
    match error {
        Error::Unavailable(_) | Error::Unanswered { .. } => false,
        Error::Server(error) => error.kind == ServerErrorKind::WrongType,
        Error::Partial { failed, .. } => failed.iter().all(|slot| is_rejection(&slot.error)),
        _ => true,
    }
}
