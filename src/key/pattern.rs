//! Which of the patterns a key follows, by its spelling.

use std::time::Duration;

use super::Keys;

/// A pattern of [`Keys`], or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pattern {
    User,
    SessionActive,
    SessionsActive,
    RefreshToken,
    Heartbeat,
    /// None of these.
    Other,
}

impl Pattern {
    pub(crate) const ALL: [Self; 6] = [
        Self::User,
        Self::SessionActive,
        Self::SessionsActive,
        Self::RefreshToken,
        Self::Heartbeat,
        Self::Other,
    ];

    /// Of a key without the handle's prefix. What the typed stores keep of a user follows none of them.
    pub(crate) fn of(key: &str) -> Self {
        let begins = |beginning: &str| key.starts_with(beginning);
        match () {
            () if begins("user:") && !key.ends_with(":state") => Self::User,
            () if begins("session:") && key.ends_with(":active") => Self::SessionActive,
            () if begins("sessions:active:") => Self::SessionsActive,
            () if begins("rt:hash:") => Self::RefreshToken,
            () if begins("heartbeat:") => Self::Heartbeat,
            () => Self::Other,
        }
    }

    /// What such keys look like to the server, where that is something.
    pub(crate) fn glob(self) -> Option<&'static str> {
        match self {
            Self::User => Some("user:*"),
            Self::SessionActive => Some("session:*:active"),
            Self::SessionsActive => Some("sessions:active:*"),
            Self::RefreshToken => Some("rt:hash:*"),
            Self::Heartbeat => Some("heartbeat:*"),
            Self::Other => None,
        }
    }

    /// The longest that such a key lives, unless its writer says otherwise.
    pub(crate) fn ttl(self) -> Duration {
        match self {
            Self::User => Keys::USER_TTL,
            Self::SessionActive => Keys::SESSION_ACTIVE_TTL,
            Self::SessionsActive => Keys::SESSIONS_ACTIVE_TTL,
            Self::Heartbeat => Keys::HEARTBEAT_TTL,
            // The longest of all.
            Self::RefreshToken | Self::Other => Keys::REFRESH_TOKEN_TTL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Layout, SessionId, TokenHash, UserId};

    #[test]
    fn each_key_of_the_table_follows_its_pattern_in_both_layouts() {
        let (user, session) = (UserId::new("42").unwrap(), SessionId::new("abc").unwrap());
        let hash = TokenHash::new("ff").unwrap();
        for keys in [Layout::Plain, Layout::HashTagged].map(Keys::new) {
            for (key, pattern) in [
                (keys.user(&user), Pattern::User),
                (keys.session_active(&user, &session), Pattern::SessionActive),
                (keys.sessions_active(&user), Pattern::SessionsActive),
                (keys.refresh_token(&hash), Pattern::RefreshToken),
                (keys.heartbeat(&user, &session), Pattern::Heartbeat),
                (keys.cleanup_lock().to_owned(), Pattern::Other),
                (keys.user_state(&user), Pattern::Other),
                ("anything".to_owned(), Pattern::Other),
            ] {
                assert_eq!(Pattern::of(&key), pattern, "{key}");
            }
        }
        assert_eq!(Pattern::ALL.map(|pattern| pattern as usize), [0, 1, 2, 3, 4, 5]);
    }
}
