//! A user with sessions, and what the hash of all that holds.

use std::collections::BTreeSet;
use std::time::Duration;

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::session::{Check, Confirm, Create, Row, Version};
use auth_adapter_redis::{RefreshToken, Sessions};

use super::world::World;

const HOUR: i64 = 3_600_000;
/// Where in a packed session it stands when it was seen.
const SEEN: std::ops::Range<usize> = 14..20;
/// The numbers of a packed session, and of a lineage.
const HEAD: usize = 26;
const NUMBERS: usize = 16;

pub fn user() -> UserId {
    UserId::new("42").unwrap()
}

pub fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

/// A session that is so many seconds old.
pub fn row(name: &str, age: i64) -> Row {
    let now = Timestamp::now().as_millis() as i64;
    let time = |millis| Timestamp::from_millis(millis).unwrap();
    Row::new(id(name), time(now - age * 1000), time(now + 2 * HOUR)).with_record(name)
}

pub fn state_key(world: &World) -> String {
    world.direct.keys().user_state(&user())
}

/// Has a session be active.
pub async fn log_in(sessions: &Sessions, name: &str) {
    let row = row(name, 1);
    let created = sessions.create(&user(), &row).await.unwrap();
    assert!(matches!(created, Create::Created { .. }), "{created:?}");
    let version = version(sessions, name).await;
    let confirmed = sessions.confirm(&user(), &row, &version).await.unwrap();
    assert_eq!(confirmed, Confirm::Confirmed);
}

/// The version under which a session is unknown.
pub async fn version(sessions: &Sessions, name: &str) -> Version {
    match sessions.check(&user(), &id(name)).await.unwrap() {
        Check::Unknown(version) => version,
        other => panic!("{name} is {other:?}"),
    }
}

/// Has a session be seen for the last time an hour ago.
pub fn see_long_ago(world: &World, name: &str) {
    let (key, field) =
        (format!("{}{}", world.direct.prefix(), state_key(world)), format!("s:{name}"));
    let packed = world.send(&[b"HGET", key.as_bytes(), field.as_bytes()]);
    let mut packed = packed.bytes().unwrap().to_vec();
    let ago = Timestamp::now().as_millis() - HOUR as u64;
    packed[SEEN].copy_from_slice(&ago.to_be_bytes()[2..]);
    world.send(&[b"HSET", key.as_bytes(), field.as_bytes(), &packed]);
}

/// What the hash holds, each field in a line, with these names for tokens.
pub fn state(world: &World, tokens: &[(&str, &RefreshToken)]) -> String {
    let key = state_key(world);
    let all = world.raw("HGETALL", &key, &[]);
    let words: Vec<_> = all.array().unwrap().iter().map(|word| word.bytes().unwrap()).collect();
    let fields = words.chunks(2).map(|pair| {
        let name = String::from_utf8(pair[0].to_vec()).unwrap();
        match name.strip_prefix("s:") {
            None => name,
            Some(id) => format!("{} {}", nonce_or(id), session(pair[1], tokens)),
        }
    });
    let fields: BTreeSet<_> = fields.collect();
    format!("{}\n{}\n", fields.into_iter().collect::<Vec<_>>().join("\n"), world.end(&key))
}

/// A call that ended all sessions leaves its nonce.
fn nonce_or(id: &str) -> &str {
    if id.len() == 32 { "the call" } else { id }
}

fn session(packed: &[u8], tokens: &[(&str, &RefreshToken)]) -> String {
    let length = usize::from(u16::from_be_bytes([packed[6], packed[7]]));
    if length == usize::from(u16::MAX) {
        // The class of a reuse goes before a token.
        let by = packed[8..].split(|&byte| byte == b'\n').next().unwrap_or_default();
        return format!("was ended by {:?}", nonce_or(&String::from_utf8_lossy(by)));
    }
    let number = |at: usize| {
        packed[at..at + 6].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    let seen = Timestamp::now().as_millis().saturating_sub(number(SEEN.start));
    let seen =
        if Duration::from_millis(seen) < Duration::from_secs(600) { "now" } else { "long ago" };
    let confirmed = number(20) > 0;
    let record = String::from_utf8_lossy(&packed[HEAD + length..]);
    let lineage = lineage(&packed[HEAD..HEAD + length], tokens);
    format!("has {record:?}, seen {seen}, confirmed {confirmed}{lineage}")
}

fn lineage(packed: &[u8], tokens: &[(&str, &RefreshToken)]) -> String {
    if packed.is_empty() {
        return String::new();
    }
    let name = |at: usize| {
        let hash = &packed[NUMBERS + at * 32..][..32];
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = tokens.iter().find(|(_, token)| token.hash().as_str() == hex);
        token.map_or("another", |(name, _)| name)
    };
    let replays = packed.len() > NUMBERS + 3 * 32;
    let generation = packed[3];
    format!("; token {generation} is {} after {}, replays {replays}", name(1), name(2))
}
