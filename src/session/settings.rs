//! How long things last, and the checks of what comes from outside.

use std::time::Duration;

use super::row::Row;
use super::{Authority, Sessions};
use crate::error::{Error, Result};
use crate::key::{Pattern, check_key, millis};

/// A hundred years: what is added to an instant still fits into six bytes.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The most that a record can have: it is read with all others of its user.
const MAX_RECORD: usize = 64 * 1024;
/// The most sessions or keys of one call: a server takes a million words in one command.
const MAX_LIST: usize = 100_000;

/// In milliseconds, as the scripts take them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) authority: Authority,
    pub(super) longest: u64,
    pub(super) confirmed: u64,
    pub(super) list: u64,
    pub(super) debounce: u64,
    /// 0 for any number.
    pub(super) max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authority: Authority::Database,
            longest: 30 * 86_400_000,
            confirmed: 300_000,
            list: 300_000,
            debounce: 25_000,
            max: 0,
        }
    }
}

impl Settings {
    /// How long Redis can answer what is not true any more, where sessions were not ended and these keys
    /// not deleted with them. Keys that are refused are none.
    pub(super) fn stale_for(self, also: &[&str]) -> Duration {
        let sessions = Duration::from_millis(match self.authority {
            Authority::Database => self.confirmed.max(self.list),
            Authority::Redis => self.longest,
        });
        let keys = also.iter().filter(|key| check_one(key).is_ok());
        keys.map(|key| Pattern::of(key).ttl()).fold(sessions, Duration::max)
    }

    pub(super) fn has_database(self) -> bool {
        self.authority == Authority::Database
    }
}

impl Sessions {
    /// Who knows best, [`Authority::Database`] unless said otherwise. All callers of one Redis have to
    /// say the same.
    pub fn with_authority(mut self, authority: Authority) -> Self {
        self.settings.authority = authority;
        self
    }

    /// The longest that a session lasts, 30 days unless said otherwise. A session that is revoked
    /// before Redis has heard of it is remembered for so long; one that lasts longer is refused. All
    /// callers of one Redis have to say the same, and so do those of
    /// [`RefreshTokens`](crate::RefreshTokens).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it is under a millisecond or over 100 years.
    pub fn with_longest_session(mut self, longest: Duration) -> Result<Self> {
        self.settings.longest = bounded("longest session", longest)?;
        Ok(self)
    }

    /// How many sessions a user can have at once, any number unless said otherwise. A
    /// [`create`](Self::create) over it displaces the oldest.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it is zero.
    pub fn with_max(mut self, max: usize) -> Result<Self> {
        if max == 0 {
            return Err(Error::invalid("maximum of sessions", "must be at least one"));
        }
        self.settings.max = max;
        Ok(self)
    }

    /// How long after the check a confirmed session reads active without asking the database, 300 s
    /// unless said otherwise. It bounds what a lost revoke, a failover, or a restart from an old
    /// snapshot can bring back. All callers of one Redis have to say the same: a session that another
    /// confirmed for longer reads active for longer than [`ExposedError::stale_for`] says.
    ///
    /// [`ExposedError::stale_for`]: crate::ExposedError::stale_for
    ///
    /// # Errors
    ///
    /// As [`with_longest_session`](Self::with_longest_session).
    pub fn with_confirmed_for(mut self, confirmed: Duration) -> Result<Self> {
        self.settings.confirmed = bounded("time that a confirmed session reads active", confirmed)?;
        Ok(self)
    }

    /// How long after it was asked for a filled list is taken for complete, 300 s unless said
    /// otherwise. All callers of one Redis have to say the same, as for
    /// [`with_confirmed_for`](Self::with_confirmed_for).
    ///
    /// # Errors
    ///
    /// As [`with_longest_session`](Self::with_longest_session).
    pub fn with_list_for(mut self, list: Duration) -> Result<Self> {
        self.settings.list = bounded("time that a list is complete", list)?;
        Ok(self)
    }

    /// How often [`touch`](Self::touch) notes that a session is in use, at most once in 25 s unless
    /// said otherwise.
    ///
    /// # Errors
    ///
    /// As [`with_longest_session`](Self::with_longest_session).
    pub fn with_touch_every(mut self, debounce: Duration) -> Result<Self> {
        self.settings.debounce = bounded("time between two touches", debounce)?;
        Ok(self)
    }

    pub(super) fn check_row(&self, row: &Row) -> Result<()> {
        let lasts = row.expires.since(row.created).map(|lasts| lasts.as_millis());
        if lasts.is_none_or(|lasts| lasts > u128::from(self.settings.longest)) {
            let longest = Duration::from_millis(self.settings.longest);
            let why =
                format!("must last between nothing and {longest:?}: see with_longest_session");
            return Err(Error::invalid("session", why));
        }
        if row.record.as_bytes().len() > MAX_RECORD {
            let why = format!("must not be longer than {MAX_RECORD} bytes");
            return Err(Error::invalid("record", why));
        }
        Ok(())
    }

    /// What only makes sense with a database behind.
    pub(super) fn needs_database(&self) -> Result<()> {
        match self.settings.authority {
            Authority::Database => Ok(()),
            Authority::Redis => {
                Err(Error::invalid("authority", "no database is behind, so it says nothing"))
            }
        }
    }
}

pub(super) fn check_count(what: &'static str, count: usize) -> Result<()> {
    match count <= MAX_LIST {
        true => Ok(()),
        false => Err(Error::invalid(what, format!("more than {MAX_LIST} in one call"))),
    }
}

/// Keys that are deleted with sessions. A user's state is none: without it nothing stays revoked.
pub(super) fn check_also(keys: &[&str]) -> Result<()> {
    check_count("keys", keys.len())?;
    keys.iter().try_for_each(|key| check_one(key))
}

fn check_one(key: &str) -> Result<()> {
    check_key(key)?;
    match key.starts_with("user:") && key.ends_with(":state") {
        true => Err(Error::invalid("key", "must not be what the session store keeps of a user")),
        false => Ok(()),
    }
}

fn bounded(what: &'static str, duration: Duration) -> Result<u64> {
    if duration > MAX_DURATION {
        return Err(Error::invalid(what, "must not be over 100 years"));
    }
    millis(what, duration)
}
