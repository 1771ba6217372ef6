//! The seven operations of an auth server's cache, which never fail and never hang.

mod health;
mod held;
mod missed;

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::cache::{Cache, Read};
use crate::connection::Redis;
use crate::error::{Error, Result};
use crate::key::check_key;
use crate::lock::{Acquire, Leases, LockToken};
use crate::observe;
use crate::releases::Releases;
use health::{Call, Counters};
use held::{Held, Hold};
use missed::Missed;

pub use health::{Calls, Health};

/// How many keys are remembered that could not be deleted, unless the caller says otherwise.
const MISSED_AT_MOST: usize = 10_000;
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

    /// Deletes `key`. Redis away: it is deleted once Redis is back, and not read before. A call that is
    /// dropped halfway is finished in the background.
    async fn delete(&self, key: &str);

    /// Deletes all these keys at one instant; on a cluster at one instant for each slot. Where one of them
    /// is no key nothing is deleted. Redis away: as for [`delete`](Self::delete), a thousand at one
    /// instant.
    async fn delete_many(&self, keys: &[&str]);

    /// Takes the lock at `key` for `ttl`; whether it was free. The token stays inside. Redis away:
    /// a lock within this process, so that of several tasks one works whose adapters are on one handle
    /// and its clones.
    async fn acquire_lock(&self, key: &str, ttl: Duration) -> bool;

    /// Frees the lock at `key` that this adapter took first, if its token still owns it, and
    /// nobody else's. Redis away: it is tried in the background until the lock's TTL has ended, of 256
    /// locks at a time; more than those end with their TTL, each with a warning.
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
    /// A lock inside this process, which adapters on one handle and its clones share: a job runs once
    /// per instance, if that makes one handle.
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
    missed: Missed,
    held: Held,
    releases: Releases,
    counters: Counters,
}

impl RedisCacheAdapter {
    /// An adapter on this handle, with locks in this process while Redis is away.
    pub fn new(redis: Redis) -> Self {
        let cache = Cache::new(redis.clone());
        Self {
            missed: Missed::new(cache.clone(), MISSED_AT_MOST),
            cache,
            held: Held::new(&redis),
            leases: Leases::new(redis),
            fallback: LockFallback::default(),
            releases: Releases::new(RELEASES_AT_ONCE),
            counters: Counters::default(),
        }
    }

    /// The same adapter with another way to lock while Redis is away.
    pub fn with_lock_fallback(mut self, fallback: LockFallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// The same adapter that remembers so many keys at the most which could not be deleted, by default
    /// 10,000. Past that whole patterns of [`Keys`](crate::key::Keys) are not read until all their keys
    /// are deleted, and a key of none of them, or with a colon in its id, not until 30 days have passed, or
    /// the longest TTL that this adapter was given for such a key.
    pub fn with_missed_deletes(self, at_most: usize) -> Self {
        self.missed.at_most(at_most);
        self
    }

    /// How it is, and what it swallowed and refused so far.
    pub fn health(&self) -> Health {
        let redis = self.cache.redis();
        let (state, since) = {
            let circuits = redis.circuits();
            let circuits = circuits.borrow();
            (circuits.state(), circuits.since())
        };
        let (deletes_pending, patterns_pending) = self.missed.owed();
        Health {
            state,
            since,
            swallowed: self.counters.swallowed(),
            rejected: self.counters.rejected(),
            deletes_pending,
            patterns_pending,
            scripts_loaded: redis.scripts_loaded(),
        }
    }

    /// [`get`](CacheAdapter::get), and what its none means: nothing is there, or Redis could not say, or
    /// what it would have said is still to be deleted. One round trip.
    ///
    /// # Errors
    ///
    /// What [`get`](CacheAdapter::get) counts as rejected: as [`Cache::read`].
    pub async fn read(&self, key: &str) -> Result<Read> {
        let observed = observe::Read::begin();
        let read = match self.missed.withholds(key) {
            true => {
                // A caller that tries again at once must not starve what makes up for it.
                tokio::task::consume_budget().await;
                check_key(key).map(|()| self.withheld())
            }
            false => match self.cache.read_unobserved(key).await {
                // It was missed while this was on its way.
                Ok(Read::Hit(_)) if self.missed.withholds(key) => Ok(self.withheld()),
                read => read,
            },
        };
        observed.end(Read::came_to(&read));
        match &read {
            Ok(Read::Degraded(error)) | Err(error) => self.counters.failed(Call::Get, error),
            Ok(Read::Hit(_) | Read::Miss) => {}
        }
        read
    }

    fn withheld(&self) -> Read {
        Read::Degraded(Error::Unavailable("it may be what is still to be deleted".to_owned()))
    }

    /// Counts what was not deleted, and remembers it unless it is no key.
    fn missed(&self, call: Call, keys: &[&str], error: &Error) {
        self.counters.failed(call, error);
        match error {
            Error::Partial { failed, .. } => {
                for slot in failed {
                    self.missed.add(slot.keys.iter().map(String::as_str), &slot.error);
                }
            }
            error if error.is_rejection() => {}
            error => self.missed.add(keys.iter().copied(), error),
        }
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
        match self.read(key).await {
            Ok(Read::Hit(value)) => Some(value),
            Ok(Read::Miss | Read::Degraded(_)) | Err(_) => None,
        }
    }

    async fn set(&self, key: &str, value: &str, ttl: Duration) {
        self.missed.lives(key, ttl);
        if let Err(error) = self.cache.set(key, value, ttl).await {
            self.counters.failed(Call::Set, &error);
        }
    }

    async fn delete(&self, key: &str) {
        let keys = [key];
        let under_way = self.missed.unless_done(&keys);
        let outcome = self.cache.delete(key).await;
        under_way.done();
        if let Err(error) = outcome {
            self.missed(Call::Delete, &keys, &error);
        }
    }

    async fn delete_many(&self, keys: &[&str]) {
        let under_way = self.missed.unless_done(keys);
        let outcome = self.cache.delete_many_by_slot(keys).await;
        under_way.done();
        if let Err(error) = outcome {
            self.missed(Call::DeleteMany, keys, &error);
        }
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
        match answer {
            Ok(Acquire::Acquired(token)) => {
                // What a task of this process outran is given back.
                let kept = self.held.keep(key, token, started, ttl);
                if kept {
                    pending.disarm();
                }
                kept
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
                !error.is_rejection() && self.lock_in_process(key, ttl)
            }
        }
    }

    async fn release_lock(&self, key: &str) {
        let Some((token, left)) = self.held.pop(key).and_then(Hold::into_remote) else {
            return;
        };
        let pending = self.releases.pending(&self.leases, &key.into(), &token, left);
        match self.leases.release(key, &token).await {
            Ok(_) => pending.disarm(),
            Err(error) => self.counters.failed(Call::ReleaseLock, &error),
        }
    }

    async fn is_available(&self) -> bool {
        self.cache.redis().ping().await.is_ok()
    }
}
