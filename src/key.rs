//! Keys: the patterns that auth engines share, their TTLs, hash tags, and the checks of what comes
//! from outside.
//!
//! A key names a thing without the application prefix; the prefix belongs to the
//! [`Redis`](crate::Redis) handle, which writes it before every key that it sends.

mod companion;
mod fence;
mod id;
#[cfg(test)]
pub(crate) mod laws;
mod pattern;
mod slot;
mod timestamp;
mod ttl;

use std::time::Duration;

pub(crate) use companion::companion;
pub use fence::Fence;
pub use id::{SessionId, TokenHash, UserId, check_key};
pub(crate) use id::{check_name, check_prefix};
pub(crate) use pattern::Pattern;
pub use slot::slot;
pub use timestamp::Timestamp;
pub use ttl::{left, millis};

/// How the user's keys are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Layout {
    /// `user:42`, `session:abc:active`: the spelling that other engines read and write too.
    #[default]
    Plain,
    /// `user:{42}`, `session:{42}:abc:active`: the user's id is the hash tag of every key of that
    /// user, so that they share a slot of a cluster and one script can change them together.
    HashTagged,
}

/// The keys of an auth engine, spelt in one [`Layout`].
///
/// ```
/// use auth_adapter_redis::key::{Keys, Layout, SessionId, UserId};
///
/// let (user, session) = (UserId::new("42")?, SessionId::new("abc")?);
/// assert_eq!(Keys::new(Layout::Plain).session_active(&user, &session), "session:abc:active");
/// assert_eq!(Keys::new(Layout::HashTagged).session_active(&user, &session), "session:{42}:abc:active");
/// # Ok::<(), auth_adapter_redis::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys {
    layout: Layout,
}

impl Keys {
    /// TTL of [`user`](Self::user): one hour.
    pub const USER_TTL: Duration = Duration::from_secs(3600);
    /// TTL of [`session_active`](Self::session_active): five minutes.
    pub const SESSION_ACTIVE_TTL: Duration = Duration::from_secs(300);
    /// TTL of [`sessions_active`](Self::sessions_active): five minutes.
    pub const SESSIONS_ACTIVE_TTL: Duration = Duration::from_secs(300);
    /// TTL of [`refresh_token`](Self::refresh_token): thirty days.
    pub const REFRESH_TOKEN_TTL: Duration = Duration::from_secs(2_592_000);
    /// TTL of [`heartbeat`](Self::heartbeat): 25 seconds.
    pub const HEARTBEAT_TTL: Duration = Duration::from_secs(25);
    /// TTL of [`cleanup_lock`](Self::cleanup_lock): 14 minutes, for a job that runs every 15.
    pub const CLEANUP_LOCK_TTL: Duration = Duration::from_secs(840);

    /// The keys in this layout.
    pub const fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// The layout of these keys.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// `user:{userId}`: the cached session list of a user.
    pub fn user(&self, user: &UserId) -> String {
        format!("user:{}", self.tag(user))
    }

    /// `session:{sessionId}:active`: the fast-path flag of a session.
    pub fn session_active(&self, user: &UserId, session: &SessionId) -> String {
        match self.layout {
            Layout::Plain => format!("session:{session}:active"),
            Layout::HashTagged => format!("session:{{{user}}}:{session}:active"),
        }
    }

    /// `sessions:active:{userId}`: the cached list of a user's active sessions.
    pub fn sessions_active(&self, user: &UserId) -> String {
        format!("sessions:active:{}", self.tag(user))
    }

    /// `rt:hash:{hashedToken}`: a cached refresh-token record. It is looked up before the user is
    /// known, so it never carries the user's tag.
    pub fn refresh_token(&self, hash: &TokenHash) -> String {
        format!("rt:hash:{hash}")
    }

    /// `heartbeat:{sessionId}`: the debounce of a session's activity updates.
    pub fn heartbeat(&self, user: &UserId, session: &SessionId) -> String {
        match self.layout {
            Layout::Plain => format!("heartbeat:{session}"),
            Layout::HashTagged => format!("heartbeat:{{{user}}}:{session}"),
        }
    }

    /// `cleanup:sessions:lock`: the lock of the job that removes expired sessions.
    pub fn cleanup_lock(&self) -> &'static str {
        "cleanup:sessions:lock"
    }

    /// `user:{userId}:state`: what the typed session and refresh-token stores keep of a user. Never
    /// a key to write or delete by hand.
    pub fn user_state(&self, user: &UserId) -> String {
        format!("user:{}:state", self.tag(user))
    }

    fn tag(&self, user: &UserId) -> String {
        match self.layout {
            Layout::Plain => user.to_string(),
            Layout::HashTagged => format!("{{{user}}}"),
        }
    }
}
