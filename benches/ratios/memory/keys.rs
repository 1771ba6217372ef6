//! The same data in keys, pattern by pattern: lists and records as JSON, a flag for each session.

use std::time::Duration;

use auth_adapter_redis::key::{Keys, TokenHash};
use auth_adapter_redis::{Cache, Redis};

use super::{EACH, IN_FLIGHT, SESSIONS, USERS, grown, ids, megabytes, session_id, tell, user_id};
use crate::measure::{Goal, Ratio};
use crate::support::sessions::RECORD;
use crate::support::{Bench, flood};

/// What there is of each user, or of each session.
struct Pattern {
    name: &'static str,
    count: usize,
    ttl: Duration,
    /// The nth key, and its value.
    entry: fn(&Keys, usize) -> (String, String),
}

const PATTERNS: [Pattern; 5] = [
    Pattern {
        name: "user:{userId}",
        count: USERS,
        ttl: Keys::USER_TTL,
        entry: |keys, n| (keys.user(&user_id(n)), list(n, device)),
    },
    Pattern {
        name: "session:{sessionId}:active",
        count: SESSIONS,
        ttl: Keys::SESSION_ACTIVE_TTL,
        entry: |keys, n| (keys.session_active(&user_id(n / EACH), &session_id(n)), "1".to_owned()),
    },
    Pattern {
        name: "sessions:active:{userId}",
        count: USERS,
        ttl: Keys::SESSIONS_ACTIVE_TTL,
        entry: |keys, n| (keys.sessions_active(&user_id(n)), list(n, |id| format!("\"{id}\""))),
    },
    Pattern {
        name: "rt:hash:{hashedToken}",
        count: SESSIONS,
        ttl: Keys::REFRESH_TOKEN_TTL,
        entry: |keys, n| {
            let hash = TokenHash::new(format!("{n:064x}")).unwrap();
            (keys.refresh_token(&hash), token(n))
        },
    },
    Pattern {
        name: "heartbeat:{sessionId}",
        count: SESSIONS,
        ttl: Keys::HEARTBEAT_TTL,
        entry: |keys, n| (keys.heartbeat(&user_id(n / EACH), &session_id(n)), "1".to_owned()),
    },
];

/// Each pattern alone, so that none pays for a table that others have filled, and all at once.
pub fn memory_keys_mb(_: &Bench) -> Ratio {
    let write = |patterns| grown(async move |_, redis| fill(redis, patterns).await);
    for pattern in PATTERNS.chunks(1) {
        let bytes = write(pattern);
        tell(pattern[0].name, pattern[0].count, bytes);
    }
    let bytes = write(&PATTERNS);
    tell("all of these at once", PATTERNS.iter().map(|pattern| pattern.count).sum(), bytes);
    Ratio {
        name: "memory_keys_mb",
        goal: Goal::None,
        samples: vec![megabytes(bytes)],
        what: "MB: the same in the keys of auth engines, one record for the current token alone",
    }
}

async fn fill(redis: &Redis, patterns: &'static [Pattern]) {
    for pattern in patterns {
        flood(IN_FLIGHT, pattern.count, |range| {
            let (cache, keys) = (Cache::new(redis.clone()), redis.keys());
            async move {
                for n in range {
                    let (key, value) = (pattern.entry)(&keys, n);
                    cache.set(&key, &value, pattern.ttl).await.unwrap();
                }
            }
        })
        .await;
    }
}

/// A JSON list with an item for each of a user's sessions.
fn list(user: usize, item: fn(String) -> String) -> String {
    let items: Vec<_> = ids(user).map(|id| item(id.to_string())).collect();
    format!("[{}]", items.join(","))
}

fn device(id: String) -> String {
    let record = String::from_utf8_lossy(&RECORD);
    let times = r#""created":1790000000000,"seen":1790000300000,"expires":1792592000000"#;
    format!(r#"{{"id":"{id}",{times},"record":"{record}"}}"#)
}

fn token(n: usize) -> String {
    let (user, session, family) = (user_id(n / EACH), session_id(n), session_id(SESSIONS + n));
    let times = r#""generation":20,"rotated":1790000300000,"expires":1792592000000"#;
    format!(r#"{{"user":"{user}","session":"{session}","family":"{family}",{times}}}"#)
}
