//! A session as the database has it, and as Redis gives it back.

use std::fmt;

use crate::key::{SessionId, Timestamp};

/// What a caller keeps with a session: any bytes, at most 64 KiB. Neither read nor logged here.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Record(Vec<u8>);

impl Record {
    /// The bytes as they were given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A value as JSON.
    ///
    /// # Errors
    ///
    /// Where the value cannot be written as JSON.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn from_json<T: serde::Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self)
    }

    /// The value in a record that is JSON.
    ///
    /// # Errors
    ///
    /// Where it is no JSON, or that of another type.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl<B: Into<Vec<u8>>> From<B> for Record {
    fn from(bytes: B) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes)", self.0.len())
    }
}

/// What the database says of a session.
///
/// ```
/// use auth_adapter_redis::key::{SessionId, Timestamp};
/// use auth_adapter_redis::session::Row;
///
/// let (created, expires) = (1_764_000_000_000, 1_766_592_000_000);
/// let (created, expires) = (Timestamp::from_millis(created)?, Timestamp::from_millis(expires)?);
/// let row = Row::new(SessionId::new("abc")?, created, expires).with_record("laptop");
/// assert_eq!(row.record.as_bytes(), b"laptop");
/// # Ok::<(), auth_adapter_redis::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its id.
    pub id: SessionId,
    /// When it was created.
    pub created: Timestamp,
    /// When it ends, whatever happens.
    pub expires: Timestamp,
    /// What goes with it.
    pub record: Record,
}

impl Row {
    /// A session with an empty record.
    pub fn new(id: SessionId, created: Timestamp, expires: Timestamp) -> Self {
        Self { id, created, expires, record: Record::default() }
    }

    /// The same with this record.
    pub fn with_record(mut self, record: impl Into<Record>) -> Self {
        self.record = record.into();
        self
    }
}

/// What Redis has of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// When it was created, by the database.
    pub created: Timestamp,
    /// When it was last [touched](super::Sessions::touch), or came to Redis.
    pub last_seen: Timestamp,
    /// When it ends, whatever happens, by the database.
    pub expires: Timestamp,
    /// Until when it reads active without asking the database. None where it was never confirmed:
    /// it may be new, or no longer be there. Always none under
    /// [`Authority::Redis`](super::Authority), where no session has to be.
    pub confirmed_until: Option<Timestamp>,
    /// What the caller keeps with it.
    pub record: Record,
}

impl Session {
    /// The value in a record that is JSON.
    ///
    /// # Errors
    ///
    /// Where it is no JSON, or that of another type.
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.record.json()
    }
}
