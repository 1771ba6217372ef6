//! Rate limits: so much in each period, so much at once, and how long to wait for more.
//!
//! The algorithm is GCRA, the generic cell rate algorithm of ATM networks in its form of virtual
//! scheduling ([ITU-T I.371](https://www.itu.int/rec/T-REC-I.371), annex A). It is a bucket that holds a
//! [burst](Quota::burst) and fills at the rate of its [`Quota`]; all that is kept of it is when it is
//! full again, in microseconds of the server's clock, and nothing of one that is full.
//!
//! What is assumed: the server evicts no buckets (`maxmemory-policy noeviction`); and its clock is not
//! stepped forward, which fills them. A clock that steps back makes nobody wait for longer than an
//! empty bucket takes.

#[cfg(test)]
pub(crate) mod laws;
mod quota;

use std::time::Duration;

use crate::connection::Redis;
use crate::error::{Error, ExposedError, Result};
use crate::key::check_key;
use crate::script::{Operation, own};

pub use quota::Quota;
pub(crate) use quota::Terms;

static CHECK: Operation = Operation::new(|| own("rate/check"));
static CHECK_MANY: Operation = Operation::new(|| own("rate/check_many"));
static PEEK: Operation = Operation::new(|| own("rate/peek"));
static RESET: Operation = Operation::new(|| own("rate/reset"));

/// The most quotas of one [`RateLimiter::check_many`]: the server does nothing else meanwhile.
const MAX_QUOTAS: usize = 100;

/// Rate limits that all instances share.
///
/// A key is one bucket: give it to one quota alone. Two quotas for the same user take two keys.
///
/// An error is no denial. What a caller does without an answer, let pass or refuse, is its own choice;
/// of a call that [may have been executed](Error::may_have_executed) the cost may be taken.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::{Redis, RateLimiter, rate::{Check, Quota}};
///
/// const LOGIN: Quota = Quota::per_minute(5);
///
/// let limiter = RateLimiter::new(Redis::connect(&url).await?);
/// match limiter.check("login:42", &LOGIN, 1).await? {
///     Check::Allowed { remaining, .. } => assert_eq!(remaining, 4),
///     Check::Denied { retry_after, .. } => println!("try again in {retry_after:?}"),
/// }
/// // … the password was right …
/// limiter.reset("login:42", &LOGIN).await?;
/// assert_eq!(limiter.peek("login:42", &LOGIN).await?.remaining, 5);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RateLimiter {
    redis: Redis,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is denied must not be done"]
pub enum Check {
    /// The cost was taken.
    Allowed {
        /// How much can still pass at once.
        remaining: u32,
        /// The time until the whole burst is back, if nothing else is taken.
        reset_after: Duration,
    },
    /// There was less than the cost, and nothing was taken.
    Denied {
        /// The time until the cost would pass, if nothing else is taken.
        retry_after: Duration,
        /// How much can pass at once, less than the cost.
        remaining: u32,
        /// The time until the whole burst is back, if nothing else is taken.
        reset_after: Duration,
    },
}

/// What came of a check of several quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "what is denied must not be done"]
pub enum CheckMany {
    /// The cost was taken from each.
    Allowed {
        /// How much can still pass all of them at once.
        remaining: u32,
        /// The time until the whole burst of each is back, if nothing else is taken.
        reset_after: Duration,
    },
    /// At least one had less than the cost, and nothing was taken from any.
    Denied {
        /// The time until the cost would pass all of them, if nothing else is taken.
        retry_after: Duration,
        /// Those that had less, by their places in the caller's list, in order.
        by: Vec<usize>,
    },
}

/// How much there is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// How much can pass at once.
    pub remaining: u32,
    /// The time until the whole burst is back, if nothing is taken; zero where it is.
    pub reset_after: Duration,
}

impl Check {
    /// Whether the cost was taken.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl CheckMany {
    /// Whether the cost was taken.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl RateLimiter {
    /// Rate limits on this handle.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Takes `cost` from the bucket at `key`, if it has as much. One round trip.
    ///
    /// Executed twice, as after a lost reply, it takes the cost twice.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a bad key, a quota that makes no sense, a cost of zero or one over
    /// the burst, which could never pass; [`Error::Server`], with `WRONGTYPE` or `BADVALUE` where the
    /// key holds something else, and with `OOM` where the server is full and there is something to
    /// keep, so that what would pass is an error and what would not is still denied: nothing was taken
    /// then. [`Error::Unavailable`] where nothing was sent; [`Error::Unanswered`]: it may be taken.
    pub async fn check(&self, key: &str, quota: &Quota, cost: u32) -> Result<Check> {
        check_key(key)?;
        let terms = quota.terms()?;
        let spend = terms.spend(cost)?;
        let call = CHECK.call(&self.redis).key("bucket", key);
        let told: i64 = call.arg("spend", spend).arg("horizon", terms.horizon).run().await?;
        let micros = told.unsigned_abs();
        Ok(if told > 0 {
            let Level { remaining, reset_after } = level(&terms, micros);
            Check::Allowed { remaining, reset_after }
        } else {
            let refill = (terms.horizon - spend).saturating_add(micros);
            let Level { remaining, reset_after } = level(&terms, refill);
            Check::Denied { retry_after: Duration::from_micros(micros), remaining, reset_after }
        })
    }

    /// Takes `cost` from each of these buckets, or from none where one has less. The strictest quota
    /// wins, and the others lose nothing. One round trip.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = auth_adapter_redis::testing::Server::start()?;
    /// # let limiter = auth_adapter_redis::RateLimiter::new(auth_adapter_redis::Redis::connect(&server.url()).await?);
    /// use auth_adapter_redis::rate::{CheckMany, Quota};
    ///
    /// const PER_USER: Quota = Quota::per_minute(5);
    /// const PER_ADDRESS: Quota = Quota::per_minute(100);
    ///
    /// let limits = [("login:user:42", PER_USER), ("login:address:192.0.2.7", PER_ADDRESS)];
    /// for _ in 0..5 {
    ///     assert!(limiter.check_many(&limits, 1).await?.is_allowed());
    /// }
    /// let CheckMany::Denied { by, .. } = limiter.check_many(&limits, 1).await? else { panic!() };
    /// assert_eq!(by, [0], "the user's");
    /// assert_eq!(limiter.peek("login:address:192.0.2.7", &PER_ADDRESS).await?.remaining, 95);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); [`Error::InvalidInput`] for an empty list, for more than 100 quotas
    /// and for a key that is named twice; [`Error::CrossSlot`] on a cluster where the keys lie in
    /// several slots. Nothing was sent then.
    pub async fn check_many<K: AsRef<str>>(
        &self,
        limits: &[(K, Quota)],
        cost: u32,
    ) -> Result<CheckMany> {
        let keys = distinct_keys(limits)?;
        let terms = limits.iter().map(|(_, quota)| quota.terms()).collect::<Result<Vec<_>>>()?;
        let mut quotas = Vec::with_capacity(terms.len() * 2);
        for terms in &terms {
            quotas.extend([terms.spend(cost)?, terms.horizon]);
        }
        let call = CHECK_MANY.call_many(&self.redis, keys.len()).keys("bucket", keys);
        let told: Vec<i64> = call.args("quota", quotas).run().await?;
        let by: Vec<usize> = (0..told.len()).filter(|&at| told[at] < 0).collect();
        if !by.is_empty() {
            let wait = by.iter().map(|&at| told[at].unsigned_abs()).max().unwrap_or_default();
            return Ok(CheckMany::Denied { retry_after: Duration::from_micros(wait), by });
        }
        let levels = told.iter().zip(&terms);
        let levels = levels.map(|(told, terms)| level(terms, told.unsigned_abs()));
        Ok(CheckMany::Allowed {
            remaining: levels.clone().map(|level| level.remaining).min().unwrap_or_default(),
            reset_after: levels.map(|level| level.reset_after).max().unwrap_or_default(),
        })
    }

    /// How much there is in the bucket at `key`, of which it takes nothing. One round trip.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check), without `OOM`.
    pub async fn peek(&self, key: &str, quota: &Quota) -> Result<Level> {
        check_key(key)?;
        let terms = quota.terms()?;
        let call = PEEK.call(&self.redis).key("bucket", key);
        let refill: i64 = call.arg("horizon", terms.horizon).run().await?;
        Ok(level(&terms, refill.unsigned_abs()))
    }

    /// Fills the bucket at `key`. Whether anything had been taken. One round trip.
    ///
    /// Executed twice, as after a lost reply, it also gives back what was taken in between.
    ///
    /// # Errors
    ///
    /// [`ExposedError`]: the bucket may stay as it is, and deny what this was to let pass, until it has
    /// filled by itself, which takes the quota's burst at its rate if nothing more is taken. Its source is
    /// as of [`peek`](Self::peek): what is no bucket is not deleted.
    pub async fn reset(&self, key: &str, quota: &Quota) -> Result<bool, ExposedError> {
        let what = "the rate limit was not reset and may go on to deny";
        let filling = self.fill(key, quota).await;
        filling.map_err(|error| ExposedError::new(error, what, quota.fills_in()))
    }

    async fn fill(&self, key: &str, quota: &Quota) -> Result<bool> {
        check_key(key)?;
        quota.terms()?;
        let filled: i64 = RESET.call(&self.redis).key("bucket", key).run().await?;
        Ok(filled > 0)
    }
}

fn level(terms: &Terms, refill: u64) -> Level {
    Level { remaining: terms.remaining(refill), reset_after: Duration::from_micros(refill) }
}

/// The keys. One that stands twice would be taken from once.
fn distinct_keys<K: AsRef<str>>(limits: &[(K, Quota)]) -> Result<Vec<&str>> {
    if limits.is_empty() || limits.len() > MAX_QUOTAS {
        let why = format!("must be 1 to {MAX_QUOTAS} in one call, are {}", limits.len());
        return Err(Error::invalid("quotas", why));
    }
    let mut keys = Vec::with_capacity(limits.len());
    for (key, _) in limits {
        let key = key.as_ref();
        check_key(key)?;
        if keys.contains(&key) {
            return Err(Error::invalid("keys", format!("has {key:?} twice")));
        }
        keys.push(key);
    }
    Ok(keys)
}
