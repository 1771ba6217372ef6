//! Strings that only the newest holder of a lock writes: the guarded side of a
//! [`Fence`].
//!
//! A holder that was paused does not know that its lease has ended, and what it sent before arrives all
//! the same. So the resource itself refuses whoever comes with an older fence than it has seen. This is
//! that check for a string in Redis; the crate's front page has it for a database, as one statement of
//! SQL.
//!
//! Beside the string at a key stands the record of its newest fence, `{key}:fenced`. Both stay until
//! someone deletes them: without the record an older fence would pass. What is assumed: the server evicts
//! neither, and a failover or a restart without persistence may forget the last writes, with their
//! fences.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use crate::connection::Redis;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::{Fence, check_key, companion};
use crate::script::{Operation, own};

static CHECK_AND_SET: Operation = Operation::new(|| own("fence/check_and_set"));

/// Strings that refuse an older fence. They are read as any others, by [`Cache::get`](crate::Cache::get).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::{FencedStrings, Locks, Redis, fence::CheckAndSet};
/// use std::time::Duration;
///
/// let redis = Redis::connect(&url).await?;
/// let (locks, reports) = (Locks::new(redis.clone()).with_fencing(), FencedStrings::new(redis));
/// let Some(guard) = locks.try_acquire("report", Duration::from_secs(10)).await?.guard() else {
///     return Ok(()); // another instance does it
/// };
/// let fence = guard.fence().expect("these locks have fences");
/// let outcome = reports.check_and_set("report:latest", "…", fence).await?;
/// assert_eq!(outcome, CheckAndSet::Set);
/// # guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct FencedStrings {
    redis: Redis,
}

/// What came of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a refused write has changed nothing"]
pub enum CheckAndSet {
    /// The string has this value now.
    Set,
    /// A holder with a newer fence has written before: the lock is lost. The string was left alone. Where
    /// the connection was cut, so that the call was sent again, it may have been set before that holder
    /// wrote.
    Refused {
        /// The newest fence that has written.
        newest: Fence,
    },
    /// A write under the same fence that began later is there already. The string was left alone.
    Overtaken,
}

impl FencedStrings {
    /// On this handle.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Sets the string at `key`, whatever was there, unless a newer fence has set it before. The same
    /// fence sets it as often as it wants. One round trip.
    ///
    /// Calls under one fence count in the order in which they were begun, so that one that the server
    /// executes late, or twice, does not undo the next. Between several processes of one holder their
    /// clocks decide.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a bad key; [`Error::Server`], with `WRONGTYPE` or `BADVALUE` where
    /// something else is at the key of the record, `OOM` where the server is full;
    /// [`Error::Unavailable`]; [`Error::Unanswered`]: it may have been set, and can be tried again.
    pub async fn check_and_set(&self, key: &str, value: &str, fence: Fence) -> Result<CheckAndSet> {
        check_key(key)?;
        let record = companion(self.redis.prefix(), key, "fenced");
        let call = CHECK_AND_SET.call(&self.redis).key("resource", key).key("record", &record);
        let call = call.arg("value", value).arg("fence", fence.as_u64()).arg("order", next());
        let told: i64 = call.run().await?;
        Ok(match Fence::told(told) {
            Some(newest) => CheckAndSet::Refused { newest },
            None if told == 0 => CheckAndSet::Set,
            None => CheckAndSet::Overtaken,
        })
    }
}

/// The microseconds of this machine's clock, or one more than at the call before.
fn next() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64;
    let after = |last: u64| now.max(last + 1);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
    after(last.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_call_has_the_greater_number() {
        let numbers: Vec<u64> = (0..10_000).map(|_| next()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
