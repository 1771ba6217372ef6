//! How much a caller may do, and the same in the microseconds that the scripts count in.

use std::time::Duration;

use crate::error::{Error, Result};

/// The longest time to fill an empty bucket, 71 years: Lua holds the clock and twice as much exactly.
const MAX_HORIZON: u64 = 1 << 51;

/// So much in each period on the long run, and so much at once.
///
/// The first is the rate at which a bucket fills, the second is what a full one holds: as much as the
/// first unless [`burst`](Self::burst) says otherwise. In any time `t`, `burst + t * count / period`
/// can pass and no more; a little less where what one takes to flow back is no whole number of
/// microseconds, for it is rounded up. A limiter refuses a quota that makes no sense before it sends anything: a
/// count or burst of zero, more than one in a microsecond, or a bucket that takes 71 years to fill.
///
/// ```
/// use auth_adapter_redis::rate::Quota;
/// use std::time::Duration;
///
/// const LOGIN: Quota = Quota::per_minute(5);
/// const API: Quota = Quota::per_second(10).burst(20);
/// assert_eq!(LOGIN, Quota::new(5, Duration::from_secs(60)).burst(5));
/// # let _ = API;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    count: u32,
    period: Duration,
    burst: u32,
}

impl Quota {
    /// So much in each second.
    pub const fn per_second(count: u32) -> Self {
        Self::new(count, Duration::from_secs(1))
    }

    /// So much in each minute.
    pub const fn per_minute(count: u32) -> Self {
        Self::new(count, Duration::from_secs(60))
    }

    /// So much in each hour.
    pub const fn per_hour(count: u32) -> Self {
        Self::new(count, Duration::from_secs(3600))
    }

    /// So much in each period.
    pub const fn new(count: u32, period: Duration) -> Self {
        Self { count, period, burst: count }
    }

    /// The same rate, and so much at once.
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// In how much time an empty bucket fills by itself. Where that makes no sense, more than for any.
    pub(super) fn fills_in(&self) -> Duration {
        Duration::from_micros(self.terms().map_or(MAX_HORIZON, |terms| terms.horizon))
    }

    /// The quota in microseconds.
    pub(crate) fn terms(&self) -> Result<Terms> {
        let no = |why: &str| Err(Error::invalid("quota", why));
        if self.count == 0 || self.burst == 0 {
            return no("must have a count and a burst of at least one");
        }
        let (period, count) = (self.period.as_nanos(), u128::from(self.count));
        if period < count * 1000 {
            return no("must not let more than one pass in a microsecond");
        }
        // Rounded up, so that never more passes than the rate.
        let interval = period.div_ceil(count * 1000);
        let horizon = interval * u128::from(self.burst);
        if horizon >= u128::from(MAX_HORIZON) {
            return no("must fill a bucket in less than 2^51 microseconds");
        }
        Ok(Terms { interval: interval as u64, horizon: horizon as u64, burst: self.burst })
    }
}

/// A quota as the scripts take it. Both are below 2^51.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// The microseconds in which one flows back.
    pub(crate) interval: u64,
    /// The microseconds in which an empty bucket fills.
    pub(crate) horizon: u64,
    pub(crate) burst: u32,
}

impl Terms {
    /// The microseconds in which a cost flows back.
    pub(crate) fn spend(&self, cost: u32) -> Result<u64> {
        if cost == 0 {
            return Err(Error::invalid("cost", "must be at least one"));
        }
        if cost > self.burst {
            let why = format!("is {cost}, which can never pass a burst of {}", self.burst);
            return Err(Error::invalid("cost", why));
        }
        Ok(self.interval * u64::from(cost))
    }

    /// How much is left in a bucket that is full again in so many microseconds.
    pub(crate) fn remaining(&self, refill: u64) -> u32 {
        // At most the burst.
        (self.horizon.saturating_sub(refill) / self.interval) as u32
    }
}
