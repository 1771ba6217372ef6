//! Families of refresh tokens, kept by this crate and kept by hand.

use std::sync::Arc;

use auth_adapter_redis::key::{SessionId, UserId};
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{Value, cmd};
use auth_adapter_redis::refresh::{Issue, Rotate};
use auth_adapter_redis::{RefreshToken, RefreshTokens, script};

use super::{Bench, TTL_MILLIS, flood, flush, send};

/// Of a session, in epoch milliseconds: in the year 2100.
const EXPIRES: u64 = 4_102_444_800_000;

/// So many users with a session each and its first token, on a server that has the scripts.
pub async fn families(bench: &Bench, count: usize) -> Arc<[RefreshToken]> {
    let redis = bench.redis();
    script::library().load(&redis).await.unwrap();
    let tokens = firsts(bench, count).await;
    flood(64, count, |range| {
        let (redis, tokens) = (redis.clone(), Arc::clone(&tokens));
        async move {
            let create = script::library().get("session/create").unwrap();
            let refresh = RefreshTokens::new(redis.clone());
            for token in &tokens[range] {
                let state = redis.keys().user_state(token.user());
                let call = create.call(&redis).key("state", &state);
                let call = call.arg("session", token.session().as_str()).arg("nonce", "nonce");
                let call = call.arg("created", 1).arg("expires", EXPIRES).arg("record", "record");
                let call = call.arg("max", 0).arg("database", 0);
                let _created: Vec<Value> = call.run().await.unwrap();
                assert_eq!(refresh.issue(token).await.unwrap(), Issue::Issued);
            }
        }
    })
    .await;
    tokens
}

/// The same as a program keeps it that has no script: a hash with the current token's hash.
pub async fn families_by_hand(bench: &Bench, count: usize) -> Arc<[RefreshToken]> {
    let tokens = firsts(bench, count).await;
    flood(64, count, |range| {
        let (mut connection, tokens) = (bench.connection.clone(), Arc::clone(&tokens));
        async move {
            for token in &tokens[range] {
                issue_by_hand(&mut connection, token).await;
            }
        }
    })
    .await;
    tokens
}

/// So many rotations of one family, each of the token that the one before gave.
pub async fn rotate(refresh: RefreshTokens, mut token: RefreshToken, times: usize) {
    for _ in 0..times {
        let next = token.next().unwrap();
        let response = next.expose();
        let outcome = refresh.rotate(&token, &next, response.as_bytes()).await.unwrap();
        assert!(matches!(outcome, Rotate::Rotated { .. }), "{outcome:?}");
        token = next;
    }
}

/// The same by commands in turn, which keep no response and let two rotations win.
pub async fn rotate_by_hand(
    mut connection: MultiplexedConnection,
    mut token: RefreshToken,
    times: usize,
) {
    for _ in 0..times {
        let next = token.next().unwrap();
        assert_eq!(current(&mut connection, &token).await, token.hash().as_str());
        issue_by_hand(&mut connection, &next).await;
        token = next;
    }
}

/// HSET, then PEXPIRE.
pub async fn issue_by_hand(connection: &mut MultiplexedConnection, token: &RefreshToken) {
    let mut set = cmd("HSET");
    set.arg(key(token)).arg("generation").arg(token.generation());
    set.arg("current").arg(token.hash().as_str());
    assert!(matches!(send(connection, &set).await, Value::Int(0..)));
    let mut expire = cmd("PEXPIRE");
    expire.arg(key(token)).arg(TTL_MILLIS);
    assert_eq!(send(connection, &expire).await, Value::Int(1));
}

/// HGET.
pub async fn current(connection: &mut MultiplexedConnection, token: &RefreshToken) -> String {
    let current = cmd("HGET").arg(key(token)).arg("current").query_async(connection).await;
    current.unwrap()
}

/// Where a program keeps a session's tokens by hand.
pub fn key(token: &RefreshToken) -> String {
    format!("family:{}", token.user())
}

/// The first tokens of so many users, on an empty server.
async fn firsts(bench: &Bench, count: usize) -> Arc<[RefreshToken]> {
    flush(&mut bench.connection.clone()).await;
    let session = SessionId::new("bench-session").unwrap();
    let first =
        |at| RefreshToken::new(&UserId::new(format!("{at:010}")).unwrap(), &session).unwrap();
    (0..count).map(first).collect()
}
