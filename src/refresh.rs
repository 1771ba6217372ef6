//! Refresh tokens that rotate: each is good for one refresh, and one that comes back ends its session.
//!
//! A *family* is the tokens of one session, each made of the one before. Redis keeps, inside the
//! session, the hashes of the current and of the previous one, so that a rotation is one script: of
//! several at once one wins, and the others get its response for a *window* after it. A lost reply or
//! a second tab logs nobody out.
//!
//! A session must be there before a token of it is [issued](RefreshTokens::issue). It carries the
//! absolute expiry, which no rotation moves.
//!
//! **With a database behind, the database commits first**: it consumes the presented hash and keeps
//! it, and stores the next one, in one transaction. [`Unknown`](Rotate::Unknown) means that Redis has
//! forgotten or is behind, and what the database said holds. The crate's front page has a whole
//! refresh. **With none behind** (`Authority::Redis`) unknown means refused.
//!
//! Source of the rules: the [OAuth 2.0 Security Best Current
//! Practice](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2), section 4.14.2.

#[cfg(test)]
pub(crate) mod laws;
mod outcome;
mod seal;
mod token;

use std::time::Duration;

use redis::{Cmd, RedisWrite as _, Value};

use crate::connection::Redis;
use crate::error::{Error, ExposedError, Result};
use crate::key::{Timestamp, TokenHash, millis};
use crate::random::Nonce;
use crate::script::{Call, Operation, decode, own};
use seal::{open, seal};

pub use outcome::{Issue, Lookup, Reuse, Revoke, Rotate};
pub use token::RefreshToken;

static ISSUE: Operation = Operation::new(|| own("refresh/issue"));
static LOOKUP: Operation = Operation::new(|| own("refresh/lookup"));
static ROTATE: Operation = Operation::new(|| own("refresh/rotate"));
static REVOKE: Operation = Operation::new(|| own("refresh/revoke"));

/// The refresh tokens of all sessions on one server.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let redis = auth_adapter_redis::Redis::connect(&server.url()).await?;
/// use auth_adapter_redis::key::{SessionId, UserId};
/// use auth_adapter_redis::refresh::{Issue, RefreshToken, RefreshTokens, Rotate};
///
/// let tokens = RefreshTokens::new(redis);
/// let first = RefreshToken::new(&UserId::new("42")?, &SessionId::new("abc")?)?;
/// // A token needs its session, which nobody has created here.
/// assert_eq!(tokens.issue(&first).await?, Issue::Unknown);
/// let next = first.next()?;
/// assert_eq!(tokens.rotate(&first, &next, b"the response").await?, Rotate::Unknown);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RefreshTokens {
    redis: Redis,
    /// In milliseconds.
    window: u64,
    longest: Duration,
}

impl RefreshTokens {
    /// How long a rotation is replayed, where nothing else is set: 30 seconds.
    pub const WINDOW: Duration = Duration::from_secs(30);
    /// The longest window: ten minutes.
    pub const MAX_WINDOW: Duration = Duration::from_secs(600);
    /// The longest that a session lasts, where nothing else is set: 30 days.
    pub const LONGEST_SESSION: Duration = Duration::from_secs(30 * 86_400);
    /// The longest response of a rotation, in bytes.
    pub const MAX_RESPONSE: usize = 16 * 1024;

    /// Refresh tokens on this handle, with a window of 30 seconds.
    pub fn new(redis: Redis) -> Self {
        Self { redis, window: Self::WINDOW.as_millis() as u64, longest: Self::LONGEST_SESSION }
    }

    /// The same with another window: how long after a rotation the same token gets the same response.
    /// With none, [`Duration::ZERO`], every token that comes twice ends its family, a lost reply too,
    /// unless the call is repeated with the same next token.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for more than ten minutes, or for less than a millisecond but not zero.
    pub fn with_window(mut self, window: Duration) -> Result<Self> {
        if window > Self::MAX_WINDOW {
            return Err(Error::invalid("window", "must not be longer than ten minutes"));
        }
        self.window = if window.is_zero() { 0 } else { millis("window", window)? };
        Ok(self)
    }

    /// The longest that a session lasts, 30 days unless said otherwise: the same as
    /// [`Sessions::with_longest_session`](crate::Sessions::with_longest_session), which holds sessions to
    /// it. Here it is only how long a token stays exposed that could not be rotated or revoked, so a
    /// shorter one than there would say too little.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where it is under a millisecond, or 2^53 of them or more.
    pub fn with_longest_session(mut self, longest: Duration) -> Result<Self> {
        self.longest = Duration::from_millis(millis("longest session", longest)?);
        Ok(self)
    }

    /// Makes `token` the current one of its session: the first one, or what the database says where
    /// Redis is behind it. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Server`], with `WRONGTYPE` where the user's state holds no hash, with `OOM` where the
    /// server is full; [`Error::Unavailable`]; [`Error::Unanswered`]: issue it again.
    pub async fn issue(&self, token: &RefreshToken) -> Result<Issue> {
        let outcome: String = of(&ISSUE, &self.redis, token).run().await?;
        Ok(match &*outcome {
            "issued" => Issue::Issued,
            "behind" => Issue::Behind,
            "revoked" => Issue::Revoked,
            "unknown" => Issue::Unknown,
            _ => return Err(unheard_of("refresh/issue")),
        })
    }

    /// What `token` is worth. Changes nothing. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Server`], with `WRONGTYPE` where the user's state holds no hash;
    /// [`Error::Unavailable`]; [`Error::Unanswered`].
    pub async fn lookup(&self, token: &RefreshToken) -> Result<Lookup> {
        let outcome: String = of(&LOOKUP, &self.redis, token).run().await?;
        Ok(match &*outcome {
            "current" => Lookup::Current,
            "replay" => Lookup::Replay,
            "superseded" => Lookup::Superseded,
            "spent" => Lookup::Spent,
            "revoked" => Lookup::Revoked,
            "unknown" => Lookup::Unknown,
            _ => return Err(unheard_of("refresh/lookup")),
        })
    }

    /// Puts `next`, which is [`presented.next()`](RefreshToken::next), in the place of `presented`, and
    /// keeps `response` for whoever presents the same token within the window. It is kept sealed:
    /// without `presented` itself nobody can read it. It goes with the session's next rotation, or
    /// with the first write of the user's sessions after the window. One round trip.
    ///
    /// A call that was not answered is repeated with the same `next`, which then is rotated once,
    /// whatever the window.
    ///
    /// # Errors
    ///
    /// [`ExposedError`]: the presented token may pass for the current one until the absolute expiry of
    /// its session, at most [`with_longest_session`](Self::with_longest_session), unless a later rotation
    /// or [`issue`](Self::issue) puts another in its place. Its source is [`Error::InvalidInput`] where
    /// `next` does not follow `presented`, or where the response has more than 16 KiB; nothing was sent
    /// then. [`Error::Server`], with `WRONGTYPE` where the user's state holds no hash, with `OOM` where
    /// the server is full: nothing is rotated then, but reuse is answered. [`Error::Unavailable`].
    /// [`Error::Unanswered`]: it may be rotated. [`Error::Reply`] where the response that is kept does
    /// not open, as when someone has changed it.
    pub async fn rotate(
        &self,
        presented: &RefreshToken,
        next: &RefreshToken,
        response: &[u8],
    ) -> Result<Rotate, ExposedError> {
        let what = "the refresh token was not rotated and may pass for the current one";
        let rotation = self.try_rotate(presented, next, response).await;
        rotation.map_err(|error| ExposedError::new(error, what, self.longest))
    }

    async fn try_rotate(
        &self,
        presented: &RefreshToken,
        next: &RefreshToken,
        response: &[u8],
    ) -> Result<Rotate> {
        if !next.follows(presented) {
            return Err(Error::invalid("next refresh token", "must be made of the presented one"));
        }
        if response.len() > Self::MAX_RESPONSE {
            let why = format!("must not have more than {} bytes", Self::MAX_RESPONSE);
            return Err(Error::invalid("response", why));
        }
        let payload = match self.window {
            0 => Vec::new(),
            _ => seal(presented, response)?,
        };
        let call = of(&ROTATE, &self.redis, presented);
        let call = call.arg("next", &next.digest()[..]).arg("payload", payload);
        let call = call.arg("window", self.window).arg("nonce", Nonce::new()?);
        let reply: Vec<Value> = call.run().await?;
        rotated(presented, reply)
    }

    /// Revokes the session that `token` belongs to, whichever of its family that is, if its tokens are
    /// here. One round trip.
    ///
    /// # Errors
    ///
    /// [`ExposedError`]: the session then lives on until its absolute expiry, as far as Redis knows, at
    /// most [`with_longest_session`](Self::with_longest_session), unless this was executed: revoke it
    /// again. Its source is [`Error::Server`], with `WRONGTYPE` where the user's state holds no hash;
    /// [`Error::Unavailable`]; or [`Error::Unanswered`].
    pub async fn revoke(&self, token: &RefreshToken) -> Result<Revoke, ExposedError> {
        let what = "the session was not revoked and its refresh tokens may pass";
        let revocation = self.try_revoke(token).await;
        revocation.map_err(|error| ExposedError::new(error, what, self.longest))
    }

    async fn try_revoke(&self, token: &RefreshToken) -> Result<Revoke> {
        let call = begin(&REVOKE, &self.redis, token).arg("nonce", Nonce::new()?);
        let outcome: String = call.run().await?;
        Ok(match &*outcome {
            "ended" => Revoke::Ended,
            "revoked" => Revoke::Revoked,
            "unknown" => Revoke::Unknown,
            _ => return Err(unheard_of("refresh/revoke")),
        })
    }

    /// The record that the caller keeps at [`Keys::refresh_token`](crate::key::Keys::refresh_token), as
    /// it was cached, if it is there: for who has a hash and no user. It is what the caller knew when it
    /// cached it, never proof that the token is current. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Server`], with `WRONGTYPE` where the key holds no string; [`Error::Reply`] where that is
    /// not UTF-8; [`Error::Unavailable`] or [`Error::Unanswered`].
    pub async fn lookup_hash(&self, hash: &TokenHash) -> Result<Option<String>> {
        let (prefix, key) = (self.redis.prefix(), self.redis.keys().refresh_token(hash));
        let mut get = Cmd::with_capacity(2, 3 + prefix.len() + key.len());
        get.arg("GET").write_arg_fmt(format_args!("{prefix}{key}"));
        decode("GET", self.redis.command(&get).await?)
    }
}

/// Begins a call about a session and a family.
fn begin<'a>(operation: &'static Operation, redis: &'a Redis, token: &RefreshToken) -> Call<'a> {
    let call = operation.call(redis).key("state", &redis.keys().user_state(token.user()));
    let call = call.arg("session", token.session().as_str());
    call.arg("family", &token.family_digest()[..])
}

/// Begins a call about one token.
fn of<'a>(operation: &'static Operation, redis: &'a Redis, token: &RefreshToken) -> Call<'a> {
    let call = begin(operation, redis, token).arg("generation", token.generation());
    call.arg("token", &token.digest()[..])
}

fn rotated(presented: &RefreshToken, mut reply: Vec<Value>) -> Result<Rotate> {
    let detail = if reply.len() == 2 { reply.pop() } else { None };
    let [Value::BulkString(outcome)] = &reply[..] else {
        return Err(unheard_of("refresh/rotate"));
    };
    Ok(match (&outcome[..], detail) {
        (b"rotated", Some(Value::Int(ms))) => {
            // To the caller an `InvalidInput` would say that nothing was sent.
            let expires = Timestamp::from_millis(ms).map_err(|_| unheard_of("refresh/rotate"))?;
            Rotate::Rotated { expires }
        }
        (b"replayed", Some(Value::BulkString(payload))) => {
            let response = open(presented, &payload).ok_or_else(|| Error::Reply {
                call: "refresh/rotate".to_owned(),
                expected: "a response that was sealed for this token".to_owned(),
                got: "one that does not open".to_owned(),
            })?;
            Rotate::Replayed { response }
        }
        (b"superseded", None) => Rotate::Superseded,
        (b"previous", None) => Rotate::Reused { class: Reuse::Previous },
        (b"older", None) => Rotate::Reused { class: Reuse::Older },
        (b"revoked", None) => Rotate::Revoked,
        (b"unknown", None) => Rotate::Unknown,
        _ => return Err(unheard_of("refresh/rotate")),
    })
}

fn unheard_of(call: &str) -> Error {
    Error::Reply {
        call: call.to_owned(),
        expected: "an outcome of its header".to_owned(),
        got: "another".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{SessionId, UserId};

    #[test]
    fn an_expiry_that_is_no_time_is_an_error_of_the_reply() {
        let (user, session) = (UserId::new("42").unwrap(), SessionId::new("abc").unwrap());
        let token = RefreshToken::new(&user, &session).unwrap();
        let rotated =
            |ms| rotated(&token, vec![Value::BulkString(b"rotated".to_vec()), Value::Int(ms)]);
        assert!(matches!(rotated(1), Ok(Rotate::Rotated { .. })));
        for ms in [-1, i64::MAX] {
            assert!(matches!(rotated(ms), Err(Error::Reply { .. })), "{ms}");
        }
    }
}
