//! What makes one call differ from all others.

use redis::{RedisWrite, ToRedisArgs};

use crate::error::{Error, Result};

/// 128 random bits of the system in hex, new for each call. No secret.
pub(crate) struct Nonce([u8; 32]);

impl Nonce {
    pub(crate) fn new() -> Result<Self> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            Error::Unavailable(format!("the system gave no random bytes: {error}"))
        })?;
        let mut hex = [0; 32];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Ok(Self(hex))
    }
}

impl ToRedisArgs for Nonce {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        out.write_arg(&self.0);
    }
}
