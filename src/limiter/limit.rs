//! The buckets of one quota, in this process.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock as _, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::error::{Error, Result};
use crate::rate::{Check, Terms};

/// Of a bucket of one key its hash, of the one that the others share none.
pub(super) type Key = Option<u64>;

/// 73 years, a little over what the slowest bucket takes to fill: governor adds up nanoseconds in 64 bits.
const MAX_INTERVAL: u64 = 1 << 61;

/// A share of a quota, and what was taken of it.
#[derive(Debug)]
pub(super) struct Limit {
    governor: RateLimiter<Key, Buckets, FakeRelativeClock, NoOpMiddleware<Nanos>>,
    buckets: Buckets,
    /// The instant from which governor counts.
    began: Nanos,
    /// In which one flows back, in nanoseconds.
    interval: u64,
    burst: NonZeroU32,
}

impl Limit {
    /// With none taken.
    pub(super) fn new(terms: &Terms, share: f64, clock: &FakeRelativeClock) -> Result<Self> {
        let interval = (terms.interval as f64 * 1000.0 / share).ceil() as u64;
        let interval = interval.min(MAX_INTERVAL);
        // A third of 3 is 1, whatever a third is in binary.
        let burst = (f64::from(terms.burst) * share * (1.0 + 2.0 * f64::EPSILON)) as u32;
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = governor::Quota::with_period(Duration::from_nanos(interval));
        let quota = quota.ok_or_else(|| Error::invalid("quota", "must take time"))?;
        let (buckets, began) = (Buckets::default(), clock.now());
        let quota = quota.allow_burst(burst);
        let governor = RateLimiter::new(quota, buckets.clone(), clock.clone());
        Ok(Self { governor, buckets, began, interval, burst })
    }

    /// Takes a cost of at least one, if there is as much.
    pub(super) fn take(&self, key: Key, cost: u32) -> Check {
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        // Governor would multiply it first, which can overflow.
        if cost > self.burst {
            return self.deny(key, self.brings(cost.get()));
        }
        match self.governor.check_key_n(&key, cost) {
            Ok(Ok(())) => {
                let (remaining, reset_after) = self.level(key);
                Check::Allowed { remaining, reset_after }
            }
            Ok(Err(until)) => self.deny(key, until.wait_time_from(self.governor.clock().now())),
            Err(_over_the_burst) => self.deny(key, self.brings(cost.get())),
        }
    }

    /// Denies a cost of which nothing can be kept.
    pub(super) fn refuse(&self, cost: u32) -> Check {
        let wait = self.brings(cost);
        Check::Denied { retry_after: wait, remaining: 0, reset_after: wait }
    }

    fn deny(&self, key: Key, retry_after: Duration) -> Check {
        let (remaining, reset_after) = self.level(key);
        Check::Denied { retry_after, remaining, reset_after }
    }

    /// How much is left, and in which time it is full.
    fn level(&self, key: Key) -> (u32, Duration) {
        let full_at = self.full_at(key).map_or(0, Nanos::as_u64);
        let refill = full_at.saturating_sub(self.elapsed());
        let spent = refill.div_ceil(self.interval);
        // At most the burst.
        let remaining = u64::from(self.burst.get()).saturating_sub(spent) as u32;
        (remaining, Duration::from_nanos(refill))
    }

    /// The time in which the share brings so much.
    fn brings(&self, cost: u32) -> Duration {
        Duration::from_nanos(self.interval.saturating_mul(u64::from(cost)))
    }

    fn elapsed(&self) -> u64 {
        self.governor.clock().now().as_u64().saturating_sub(self.began.as_u64())
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.buckets.lock().contains_key(&key)
    }

    /// When a bucket is full again, for [`put_back`](Self::put_back). None where it is.
    pub(super) fn full_at(&self, key: Key) -> Option<Nanos> {
        let full_at = self.buckets.lock().get(&key).copied();
        full_at.filter(|full_at| full_at.as_u64() > self.elapsed())
    }

    /// Makes a bucket what it was.
    pub(super) fn put_back(&self, key: Key, full_at: Option<Nanos>) {
        match full_at {
            Some(full_at) => self.buckets.lock().insert(key, full_at),
            None => self.buckets.lock().remove(&key),
        };
    }

    /// Drops the buckets that are as good as new.
    pub(super) fn drop_full(&self) {
        let elapsed = self.elapsed();
        self.buckets.lock().retain(|_, full_at| full_at.as_u64() > elapsed);
    }

    /// How many keys have a bucket of their own.
    pub(super) fn keys(&self) -> usize {
        let buckets = self.buckets.lock();
        buckets.len() - usize::from(buckets.contains_key(&None))
    }

    pub(super) fn is_full(&self) -> bool {
        self.buckets.lock().is_empty()
    }
}

/// When each bucket is full again. Governor's own maps keep that to themselves, so nothing could be put
/// back or forgotten.
#[derive(Debug, Clone, Default)]
struct Buckets(Arc<Mutex<HashMap<Key, Nanos>>>);

impl Buckets {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Buckets {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.lock();
        let (told, full_at) = measure(buckets.get(key).copied())?;
        buckets.insert(*key, full_at);
        Ok(told)
    }
}
