//! What proves that a lock is one's own.

use std::fmt;
use std::io;

use redis::{RedisWrite, ToRedisArgs};

use crate::error::Result;
use crate::random::{hex, random};

const TOKEN_BYTES: usize = 16;
const HEX: usize = TOKEN_BYTES * 2;

/// 128 random bits of the system, new for each acquisition. Whoever has the token can release the
/// lock, so neither `Debug` nor any log shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LockToken([u8; TOKEN_BYTES]);

impl LockToken {
    pub(crate) fn new() -> Result<Self> {
        random().map(Self)
    }

    pub(super) fn hex(&self) -> [u8; HEX] {
        hex(self.0)
    }
}

impl fmt::Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockToken(…)")
    }
}

/// The value of a lock, written straight into the command: token, colon, owner.
pub(super) struct Holder<'a> {
    token: [u8; HEX],
    owner: &'a str,
}

impl<'a> Holder<'a> {
    pub(super) fn new(token: &LockToken, owner: &'a str) -> Self {
        Self { token: token.hex(), owner }
    }

    pub(super) fn write_into(&self, word: &mut impl io::Write) {
        // Writing into memory does not fail.
        let _ = word.write_all(&self.token);
        let _ = word.write_all(b":");
        let _ = word.write_all(self.owner.as_bytes());
    }
}

impl ToRedisArgs for Holder<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        self.write_into(&mut out.writer_for_next_arg());
    }
}

/// The owner in the value of a lock; none where the value is not one of this crate's.
pub(super) fn owner(holder: &[u8]) -> Option<String> {
    let (token, owner) = holder.split_at_checked(HEX + 1)?;
    let hex = |&byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let ours = token[..HEX].iter().all(hex) && token[HEX] == b':';
    ours.then(|| String::from_utf8_lossy(owner).into_owned())
}
