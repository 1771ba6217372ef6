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

    /// Of a key without the handle's prefix, by the whole of its spelling: what belongs to locks, limits or
    /// the typed stores and only begins alike follows none of them. Nor does one whose id has a colon.
    pub(crate) fn of(key: &str) -> Self {
        let follows = |beginning: &str, end: &str, is_id: fn(&str) -> bool| {
            let rest = key.strip_prefix(beginning).and_then(|rest| rest.strip_suffix(end));
            rest.is_some_and(is_id)
        };
        match () {
            () if follows("user:", "", is_tag) => Self::User,
            () if follows("session:", ":active", is_of_user) => Self::SessionActive,
            () if follows("sessions:active:", "", is_tag) => Self::SessionsActive,
            () if follows("rt:hash:", "", is_id) => Self::RefreshToken,
            () if follows("heartbeat:", "", is_of_user) => Self::Heartbeat,
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

fn is_id(text: &str) -> bool {
    !text.is_empty() && !text.contains([':', '{', '}'])
}

/// An id, or one that is a hash tag.
fn is_tag(text: &str) -> bool {
    let tagged = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    is_id(tagged.unwrap_or(text))
}

/// An id, or one after the tag of its user.
fn is_of_user(text: &str) -> bool {
    match text.split_once(':') {
        Some((user, id)) => user.starts_with('{') && is_tag(user) && is_id(id),
        None => is_id(text),
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
                ("user:42:login".to_owned(), Pattern::Other),
                ("user:{42}:lock".to_owned(), Pattern::Other),
                ("user:".to_owned(), Pattern::Other),
                ("session:a:b:active".to_owned(), Pattern::Other),
                ("heartbeat:{42}:a:lock".to_owned(), Pattern::Other),
                ("sessions:active:42:lock".to_owned(), Pattern::Other),
                ("rt:hash:a:b".to_owned(), Pattern::Other),
            ] {
                assert_eq!(Pattern::of(&key), pattern, "{key}");
            }
        }
        assert_eq!(Pattern::ALL.map(|pattern| pattern as usize), [0, 1, 2, 3, 4, 5]);
    }
}
