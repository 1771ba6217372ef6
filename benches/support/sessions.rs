//! Users with sessions, in the form of this crate and with a key for each session.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::redis::{Cmd, Pipeline, Value, cmd};
use auth_adapter_redis::session::{Check, Row, Version};
use auth_adapter_redis::{Redis, Sessions, script};

use super::{Bench, TTL_MILLIS, flush, send};

/// As large as what an auth server keeps of a device.
pub const RECORD: [u8; 100] = [b'r'; 100];

pub struct Users {
    pub names: Vec<UserId>,
    /// Of each user the same.
    pub rows: Vec<Row>,
    /// Of each user the same: it was asked for just now.
    pub version: Version,
}

pub fn id(at: usize) -> SessionId {
    SessionId::new(format!("session-{at:08}")).unwrap()
}

pub fn row(at: usize) -> Row {
    let expires = SystemTime::now() + Duration::from_secs(3600);
    let expires = Timestamp::try_from(expires).unwrap();
    Row::new(id(at), Timestamp::now(), expires).with_record(RECORD)
}

/// So many users with so many sessions each, all of them active and listed.
pub async fn users(bench: &Bench, count: usize, each: usize) -> Arc<Users> {
    let redis = prepared(bench).await;
    let sessions = Sessions::new(redis.clone());
    let first = UserId::new("template").unwrap();
    let Check::Unknown(version) = sessions.check(&first, &id(0)).await.unwrap() else {
        panic!("nothing is known of it")
    };
    let rows: Vec<_> = (0..each).map(row).collect();
    let _filled = sessions.fill(&first, &rows, &version).await.unwrap();
    let names: Vec<_> = (0..count).map(|at| UserId::new(format!("u{at:08}")).unwrap()).collect();
    let template = redis.keys().user_state(&first);
    for some in names.chunks(1000) {
        let mut copies = Pipeline::with_capacity(some.len());
        for name in some {
            copies.cmd("COPY").arg(&template).arg(redis.keys().user_state(name));
        }
        let copied: Vec<i64> = copies.query_async(&mut bench.connection.clone()).await.unwrap();
        assert!(copied.iter().all(|&copied| copied == 1));
    }
    Arc::new(Users { names, rows, version })
}

/// The same with a key for each session, and a set that names them. The keys of each user.
pub async fn by_hand(bench: &Bench, count: usize, each: usize) -> Arc<[Vec<String>]> {
    prepared(bench).await;
    let users: Arc<[Vec<String>]> = (0..count)
        .map(|user| (0..each).map(|at| format!("u{user:08}:session-{at:08}")).collect())
        .collect();
    for some in users.chunks(1000 / each.max(1)) {
        let mut set = Pipeline::with_capacity(some.len() * (each + 1));
        for keys in some {
            for key in keys {
                set.cmd("SET").arg(key).arg(&RECORD[..]).arg("PX").arg(TTL_MILLIS).ignore();
            }
            set.cmd("SADD").arg(index(&keys[0])).arg(keys).ignore();
        }
        let () = set.query_async(&mut bench.connection.clone()).await.unwrap();
    }
    users
}

/// The set of the user that a session's key belongs to.
pub fn index(key: &str) -> String {
    format!("{}:sessions", &key[..9])
}

/// A word that says when it was revoked, in place of the session.
pub fn tombstone(key: &str) -> Cmd {
    let mut set = cmd("SET");
    set.arg(key).arg("revoked:1764000000000").arg("PX").arg(TTL_MILLIS);
    set
}

/// An empty server that has the scripts.
async fn prepared(bench: &Bench) -> Redis {
    let redis = bench.redis();
    script::library().load(&redis).await.unwrap();
    flush(&mut bench.connection.clone()).await;
    redis
}

/// Reads the session at a key and leaves a tombstone there: two commands.
pub async fn end_by_hand(
    bench: &mut auth_adapter_redis::redis::aio::MultiplexedConnection,
    key: &str,
) {
    let found = send(bench, cmd("GET").arg(key)).await;
    assert!(matches!(found, Value::BulkString(_)), "{found:?}");
    assert_eq!(send(bench, &tombstone(key)).await, Value::Okay);
}
