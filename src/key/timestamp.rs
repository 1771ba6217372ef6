//! Instants as a database stores them: integer milliseconds since the epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// The last one, in the year 10889: what is kept of it has six bytes.
const MAX_MILLIS: u64 = (1 << 48) - 1;

/// An instant, in milliseconds since 1970 in UTC; those before have none.
///
/// ```
/// use auth_adapter_redis::key::Timestamp;
/// use std::time::{Duration, SystemTime};
///
/// let from_a_database = Timestamp::from_millis(1_764_000_000_000)?;
/// assert_eq!(from_a_database.as_millis(), 1_764_000_000_000);
/// let in_an_hour = Timestamp::try_from(SystemTime::now() + Duration::from_secs(3600))?;
/// assert!(in_an_hour > Timestamp::now());
/// # Ok::<(), auth_adapter_redis::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// So many milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where they are negative, or 2^48 or more.
    pub fn from_millis(millis: i64) -> Result<Self> {
        match u64::try_from(millis) {
            Ok(millis) if millis <= MAX_MILLIS => Ok(Self(millis)),
            _ => Err(Error::invalid("timestamp", "must lie between the years 1970 and 10889")),
        }
    }

    /// What this machine's clock says.
    pub fn now() -> Self {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        Self((now as u64).min(MAX_MILLIS))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this; none where that is later.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_millis)
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = Error;

    /// Cuts off what is less than a millisecond.
    fn try_from(time: SystemTime) -> Result<Self> {
        let millis = time.duration_since(UNIX_EPOCH).map(|since| since.as_millis());
        Self::from_millis(millis.map_or(-1, |millis| i64::try_from(millis).unwrap_or(-1)))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0)
    }
}
