//! Rate limits that go on while Redis is away, by a limiter in this process.
//!
//! As long as Redis answers, it decides for all instances, as for a [`RateLimiter`]. While it does not,
//! [`FallbackRateLimiter`] decides by what this process knows:
//!
//! - **Its share of the quota.** With four instances and a [share](FallbackRateLimiter::with_share) of
//!   0.25 they let pass together what the quota says: each has a quarter of the rate, and of the burst a
//!   quarter rounded down, but at least one. The buckets of this process are full when it first needs
//!   them, so an outage lets pass a burst more. They are those of the crate
//!   [governor](https://docs.rs/governor), whose algorithm is that of [`rate`](crate::rate).
//! - **What Redis last denied.** A cost that it denied is denied until Redis would have let it pass, so
//!   that an outage lets in nobody who was kept out. Whatever Redis lets pass later under that key, or a
//!   reset, ends that. Of several buckets that Redis denied together, each is taken to need the longest
//!   of their waits.
//!
//! **It takes over** where Redis is away, where its answer did not come, and where it refuses what a sound
//! server with room and rights would have done (`OOM`, `NOPERM`, `BUSY`). Bad input, and a key that holds
//! something else, are errors, as there. What is an error is no denial, and [`Decision`] tells who denied.
//! That a node is away, or back, is an event of its [circuit](crate::Redis::circuits), and none of the limiter.
//!
//! **What it keeps is bounded**, whatever keys a caller makes up; there are no timers and no tasks. Where
//! there is [no room](FallbackRateLimiter::with_max_keys) for another key, what is as good as new goes
//! first. Then the keys that do not fit share one bucket of each quota, and of what Redis denied that is
//! forgotten which has the least left. A thousand quotas have room, and what does not fit is denied. A
//! restart of the process forgets all.

mod blocked;
mod decision;
mod in_process;
mod limit;
mod local;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ExposedError, Result};
use crate::observe;
use crate::rate::{CheckMany, Quota, RateLimiter};
use in_process::InProcess;

pub use decision::Decision;

/// A [`RateLimiter`], and a limiter in this process while Redis is away: see [the module](self).
///
/// Clones share what they know.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::limiter::Decision;
/// use auth_adapter_redis::rate::{Check, Quota};
/// use auth_adapter_redis::{FallbackRateLimiter, RateLimiter, Redis};
///
/// const LOGIN: Quota = Quota::per_minute(8);
///
/// let limiter = RateLimiter::new(Redis::connect(&url).await?);
/// let limiter = FallbackRateLimiter::new(limiter).with_share(0.25)?; // four instances
/// assert!(matches!(limiter.check("login:42", &LOGIN, 1).await?, Decision::Redis(_)));
///
/// # server.kill()?;
/// // … Redis is away …
/// match limiter.check("login:42", &LOGIN, 1).await? {
///     Decision::Redis(_) => unreachable!("it is away"),
///     Decision::InProcess { check, error } => {
///         println!("limiting by our share: {error}");
///         assert!(matches!(check, Check::Allowed { remaining: 1, .. }));
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct FallbackRateLimiter {
    limiter: RateLimiter,
    share: f64,
    max_keys: usize,
    in_process: Arc<Mutex<InProcess>>,
}

impl FallbackRateLimiter {
    /// How many keys this process keeps, where nothing else is set.
    pub const MAX_KEYS: usize = 10_000;

    /// The same limits, with the whole of each quota in this process while Redis is away, and 10,000
    /// keys.
    pub fn new(limiter: RateLimiter) -> Self {
        Self::knowing_nothing(limiter, 1.0, Self::MAX_KEYS)
    }

    /// The share of each quota that this process lets pass while Redis is away: with four instances,
    /// 0.25. To be said before the first check: what was known is forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it is not over zero and at most one.
    pub fn with_share(self, share: f64) -> Result<Self> {
        if share > 0.0 && share <= 1.0 {
            return Ok(Self::knowing_nothing(self.limiter, share, self.max_keys));
        }
        Err(Error::invalid("share", "must be over zero and at most one"))
    }

    /// How many keys this process keeps: so many buckets, and so many denials of Redis. Each takes
    /// up to 60 bytes, however long the key is. With none, all keys share one bucket of each quota. To be
    /// said before the first check: what was known is forgotten.
    pub fn with_max_keys(self, max_keys: usize) -> Self {
        Self::knowing_nothing(self.limiter, self.share, max_keys)
    }

    fn knowing_nothing(limiter: RateLimiter, share: f64, max_keys: usize) -> Self {
        let in_process = Arc::new(Mutex::new(InProcess::new(share, max_keys)));
        Self { limiter, share, max_keys, in_process }
    }

    /// [`RateLimiter::check`], or the same in this process while Redis is away. One round trip at the
    /// most.
    ///
    /// A cost of which no answer came is taken here, and may be taken in Redis as well.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a bad key, a quota that makes no sense, a cost of zero or one over the
    /// burst; [`Error::Server`], with `WRONGTYPE` or `BADVALUE` where the key holds something else.
    pub async fn check(&self, key: &str, quota: &Quota, cost: u32) -> Result<Decision> {
        match self.limiter.check(key, quota, cost).await {
            Ok(check) => {
                self.in_process().learn(key, &check);
                Ok(Decision::Redis(check))
            }
            Err(error) if error.is_rejection() => Err(error),
            Err(error) => {
                let check = self.in_process().check(key, quota, cost)?;
                observe::fell_back("rate/check", false);
                Ok(Decision::InProcess { check, error })
            }
        }
    }

    /// [`RateLimiter::check_many`], or the same in this process while Redis is away: the cost is taken
    /// from each bucket, or from none. One round trip at the most.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); [`Error::InvalidInput`] for an empty list, for more than 100 quotas and
    /// for a key that is named twice; [`Error::CrossSlot`] on a cluster where the keys lie in several
    /// slots.
    pub async fn check_many<K: AsRef<str>>(
        &self,
        limits: &[(K, Quota)],
        cost: u32,
    ) -> Result<Decision<CheckMany>> {
        match self.limiter.check_many(limits, cost).await {
            Ok(check) => {
                self.in_process().learn_many(limits, cost, &check)?;
                Ok(Decision::Redis(check))
            }
            Err(error) if error.is_rejection() => Err(error),
            Err(error) => {
                let check = self.in_process().check_many(limits, cost)?;
                observe::fell_back("rate/check_many", false);
                Ok(Decision::InProcess { check, error })
            }
        }
    }

    /// [`RateLimiter::reset`]. This process forgets what it took and what Redis denied, also where Redis
    /// is away and this is an error.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn reset(&self, key: &str, quota: &Quota) -> Result<bool, ExposedError> {
        let reset = self.limiter.reset(key, quota).await;
        if !reset.as_ref().is_err_and(|failed| failed.error.is_rejection()) {
            self.in_process().reset(key);
        }
        reset
    }

    fn in_process(&self) -> MutexGuard<'_, InProcess> {
        self.in_process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
