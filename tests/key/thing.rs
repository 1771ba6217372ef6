//! What a key can stand for, and the ids to make keys of.

use std::collections::BTreeSet;

use auth_adapter_redis::key::{Keys, Layout, SessionId, TokenHash, UserId};
use proptest::prelude::*;

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Thing {
    User(UserId),
    SessionActive(UserId, SessionId),
    SessionsActive(UserId),
    RefreshToken(TokenHash),
    Heartbeat(UserId, SessionId),
    CleanupLock,
    UserState(UserId),
}

impl Thing {
    pub fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            user().prop_map(Self::User),
            (user(), session()).prop_map(|(user, session)| Self::SessionActive(user, session)),
            user().prop_map(Self::SessionsActive),
            hash().prop_map(Self::RefreshToken),
            (user(), session()).prop_map(|(user, session)| Self::Heartbeat(user, session)),
            Just(Self::CleanupLock),
            user().prop_map(Self::UserState),
        ]
    }

    /// All things whose ids are at most three of these pieces.
    pub fn all_of(pieces: &[&str]) -> Vec<Self> {
        let mut ids = BTreeSet::from([String::new()]);
        for _ in 0..3 {
            for id in ids.clone() {
                ids.extend(pieces.iter().map(|piece| format!("{id}{piece}")));
            }
        }
        let users = || ids.iter().filter_map(|id| UserId::new(id).ok());
        let sessions = || ids.iter().filter_map(|id| SessionId::new(id).ok());
        let hashes = ids.iter().filter_map(|id| TokenHash::new(id).ok());
        let pairs = || users().flat_map(|user| sessions().map(move |id| (user.clone(), id)));
        let mut things = vec![Self::CleanupLock];
        things.extend(users().map(Self::User));
        things.extend(users().map(Self::SessionsActive));
        things.extend(users().map(Self::UserState));
        things.extend(hashes.map(Self::RefreshToken));
        things.extend(pairs().map(|(user, session)| Self::SessionActive(user, session)));
        things.extend(pairs().map(|(user, session)| Self::Heartbeat(user, session)));
        things
    }

    pub fn key(&self, layout: Layout) -> String {
        let keys = Keys::new(layout);
        match self {
            Self::User(user) => keys.user(user),
            Self::SessionActive(user, session) => keys.session_active(user, session),
            Self::SessionsActive(user) => keys.sessions_active(user),
            Self::RefreshToken(hash) => keys.refresh_token(hash),
            Self::Heartbeat(user, session) => keys.heartbeat(user, session),
            Self::CleanupLock => keys.cleanup_lock().to_owned(),
            Self::UserState(user) => keys.user_state(user),
        }
    }

    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::RefreshToken(_) | Self::CleanupLock => None,
            Self::User(user)
            | Self::SessionActive(user, _)
            | Self::SessionsActive(user)
            | Self::Heartbeat(user, _)
            | Self::UserState(user) => Some(user),
        }
    }

    /// As far as the layout tells it: a plain session key is the session's, whoever's that is.
    pub fn told(self, layout: Layout) -> Self {
        let whose = |user| if layout == Layout::Plain { nobody() } else { user };
        match self {
            Self::SessionActive(user, session) => Self::SessionActive(whose(user), session),
            Self::Heartbeat(user, session) => Self::Heartbeat(whose(user), session),
            other => other,
        }
    }

    /// The one thing that a key can stand for.
    pub fn read(layout: Layout, key: &str) -> Option<Self> {
        if let Some(text) = key.strip_prefix("rt:hash:") {
            Some(Self::RefreshToken(TokenHash::new(text).ok()?))
        } else if let Some(text) = key.strip_prefix("sessions:active:") {
            Some(Self::SessionsActive(read_user(layout, text)?))
        } else if let Some(text) = key.strip_prefix("heartbeat:") {
            read_session(layout, text).map(|(user, session)| Self::Heartbeat(user, session))
        } else if let Some(text) = key.strip_prefix("session:") {
            let (user, session) = read_session(layout, text.strip_suffix(":active")?)?;
            Some(Self::SessionActive(user, session))
        } else if let Some(text) = key.strip_prefix("user:") {
            match text.strip_suffix(":state") {
                Some(text) => Some(Self::UserState(read_user(layout, text)?)),
                None => Some(Self::User(read_user(layout, text)?)),
            }
        } else {
            (key == "cleanup:sessions:lock").then_some(Self::CleanupLock)
        }
    }
}

/// Text out of what keys are made of, so that two texts often resemble each other.
pub fn text() -> impl Strategy<Value = String> {
    let pieces = "a 42 é : :state :active active: user: session: sessions: heartbeat: rt:hash: \
                  cleanup:sessions:lock { } {42} }: {a}:a";
    let pieces: Vec<_> = pieces.split_whitespace().map(str::to_owned).collect();
    let piece = prop_oneof![9 => prop::sample::select(pieces), 1 => "\\PC{1,8}"];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

/// Text that nobody has looked at yet: empty, too long, with control characters.
pub fn outside() -> impl Strategy<Value = String> {
    let control =
        prop_oneof![prop::char::range('\0', '\u{1f}'), prop::char::range('\u{7f}', '\u{9f}')];
    prop_oneof![
        1 => Just(String::new()),
        4 => text(),
        2 => (text(), control, text()).prop_map(|(left, mark, right)| format!("{left}{mark}{right}")),
        3 => ("[aé€🔑]", 240..2060_usize).prop_map(|(character, times)| character.repeat(times)),
    ]
}

/// Whether text is what a name or a key of at most so many bytes must be.
pub fn is_good(text: &str, most: usize) -> bool {
    let control = |c| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    (1..=most).contains(&text.len()) && !text.contains(control)
}

pub fn hash() -> impl Strategy<Value = TokenHash> {
    text().prop_filter_map("no hash", |hash| TokenHash::new(hash).ok())
}

fn user() -> impl Strategy<Value = UserId> {
    text().prop_filter_map("no user id", |id| UserId::new(id).ok())
}

fn session() -> impl Strategy<Value = SessionId> {
    text().prop_filter_map("no session id", |id| SessionId::new(id).ok())
}

fn nobody() -> UserId {
    UserId::new("nobody").unwrap()
}

fn read_user(layout: Layout, text: &str) -> Option<UserId> {
    let id = match layout {
        Layout::HashTagged => text.strip_prefix('{')?.strip_suffix('}')?,
        _ => text,
    };
    UserId::new(id).ok()
}

fn read_session(layout: Layout, text: &str) -> Option<(UserId, SessionId)> {
    let (user, id) = match layout {
        Layout::HashTagged => {
            let (user, id) = text.strip_prefix('{')?.split_once("}:")?;
            (UserId::new(user).ok()?, id)
        }
        _ => (nobody(), text),
    };
    Some((user, SessionId::new(id).ok()?))
}
