//! Durations on the wire: integer milliseconds, converted here and nowhere else.

use std::time::Duration;

use crate::error::{Error, Result};

/// The longest duration, 285,000 years: Lua holds greater integers only in part.
const MAX_MILLIS: u128 = (1 << 53) - 1;

/// A TTL as the server takes it, in milliseconds; what is less than one is cut off. `what` names the
/// argument in the error.
///
/// # Errors
///
/// [`Error::InvalidInput`] where it is under a millisecond, or 2^53 of them or more.
pub fn millis(what: &'static str, ttl: Duration) -> Result<u64> {
    match ttl.as_millis() {
        0 => Err(Error::invalid(what, "must be at least one millisecond")),
        ms if ms > MAX_MILLIS => Err(Error::invalid(what, "must be below 2^53 milliseconds")),
        ms => Ok(ms as u64),
    }
}

/// The time left, from a `PTTL` as the server gives it: none for a key without an end.
pub fn left(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}
