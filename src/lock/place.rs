//! A place in the queue of a lock, and how whoever waits there is told.

use std::fmt;
use std::io::Write as _;
use std::str;
use std::time::Duration;

use redis::{RedisWrite, ToRedisArgs};

use super::LockToken;
use super::token::Holder;
use crate::error::Result;
use crate::key::{Fence, millis};
use crate::random::{hex, random};

/// A channel that is one process's own, to be told on that a lock is granted to it: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel([u8; 16]);

/// How whoever waits hears that the lock is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// By `PUBLISH`, on [a channel](super::Leases::channel) that is subscribed to before.
    Published(Channel),
    /// By `SPUBLISH`: on a cluster from Redis 7.0 on, whose nodes then need not tell each other.
    Sharded(Channel),
    /// Not at all: by joining once more within the grant.
    Never,
}

/// A place in the queue of a lock, that of one token.
///
/// The lock is granted for a short lease at first, by whose end another call under the token has to
/// take it up: whoever waited may have died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    told: Told,
    grant: u64,
    fenced: bool,
}

/// Word that a lock is granted to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// When, in microseconds of the server's clock.
    pub at: u64,
    /// The fence of the hold, where its place asked for one.
    pub fence: Option<Fence>,
    token: [u8; 32],
}

impl Channel {
    /// A new one.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bits.
    pub fn new() -> Result<Self> {
        random().map(Self)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = hex(self.0);
        f.write_str(&String::from_utf8_lossy(&hex))
    }
}

impl Place {
    /// A place whose holder is granted the lock for `grant`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) where that is under a millisecond.
    pub fn new(told: Told, grant: Duration) -> Result<Self> {
        Ok(Self { told, grant: millis("grant", grant)?, fenced: false })
    }

    /// The same, for a hold with a [`Fence`].
    pub fn with_fence(mut self) -> Self {
        self.fenced = true;
        self
    }

    /// For how long the lock is granted.
    pub fn grant(&self) -> Duration {
        Duration::from_millis(self.grant)
    }

    pub(super) fn of<'a>(&'a self, holder: Holder<'a>) -> Entry<'a> {
        Entry { place: self, holder }
    }
}

impl Granted {
    /// Reads what was published; nothing where it is something else.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut parts = message.splitn(3, |&byte| byte == b':');
        let mut number = || str::from_utf8(parts.next()?).ok()?.parse::<i64>().ok();
        let (at, fence) = (number()?, number()?);
        let token = parts.next()?.first_chunk().copied()?;
        Some(Self { at: at.try_into().ok()?, fence: Fence::told(fence), token })
    }

    /// Whether it is this token that has the lock.
    pub fn is_to(&self, token: &LockToken) -> bool {
        self.token == token.hex()
    }
}

/// What stands in the queue.
pub(super) struct Entry<'a> {
    place: &'a Place,
    holder: Holder<'a>,
}

impl ToRedisArgs for Entry<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let (fenced, grant) = (u8::from(self.place.fenced), self.place.grant);
        let mut word = out.writer_for_next_arg();
        // Writing into memory does not fail.
        let _ = match self.place.told {
            Told::Published(channel) => write!(word, "p:{fenced}:{grant}:{channel}:"),
            Told::Sharded(channel) => write!(word, "s:{fenced}:{grant}:{channel}:"),
            Told::Never => write!(word, "n:{fenced}:{grant}::"),
        };
        self.holder.write_into(&mut word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_it_is_written() {
        let token = LockToken::new().unwrap();
        let hex = String::from_utf8(token.hex().to_vec()).unwrap();
        let granted = Granted::read(format!("1763000000000001:7:{hex}:api:1").as_bytes()).unwrap();
        assert_eq!((granted.at, granted.fence), (1_763_000_000_000_001, Fence::told(7)));
        assert!(granted.is_to(&token) && !granted.is_to(&LockToken::new().unwrap()));
        for message in ["", "1", "1:2", "1:2:abc", ":2:", "x:2:0123456789abcdef0123456789abcdef"] {
            assert_eq!(Granted::read(message.as_bytes()), None, "{message}");
        }
    }
}
