//! What a guarded resource tells the holders of one lock apart by.

use std::fmt;

use crate::error::{Error, Result};

/// Greater ones are no numbers of Lua.
const MAX: u64 = (1 << 53) - 1;

/// The number of a hold: of two holds of one lock the later has the greater. A resource that refuses a
/// write with a smaller one than it has seen is safe from a holder that does not know yet that its lock
/// is lost.
///
/// It is in the order of the server's microseconds since 1970, so that it fits a database's `BIGINT`.
///
/// ```
/// use auth_adapter_redis::Fence;
///
/// let (older, newer) = (Fence::from_u64(7)?, Fence::from_u64(8)?);
/// assert!(older < newer);
/// assert_eq!((newer.as_u64(), newer.to_string()), (8, "8".to_owned()));
/// # Ok::<(), auth_adapter_redis::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// One that came by another way, as from a job's queue.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it is zero, or 2^53 or more.
    pub fn from_u64(number: u64) -> Result<Self> {
        match number {
            1..=MAX => Ok(Self(number)),
            _ => Err(Error::invalid("fence", "must be above zero and below 2^53")),
        }
    }

    /// As a database keeps it.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// What a script tells; none for what is no fence.
    pub(crate) fn told(number: i64) -> Option<Self> {
        u64::try_from(number).ok().filter(|number| (1..=MAX).contains(number)).map(Self)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
