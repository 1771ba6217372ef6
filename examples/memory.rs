//! What the keys of 10,000 users with five devices each take on the server, pattern by pattern.
//!
//! It starts a private server, fills it through the crate, and prints by how much `used_memory`
//! grows. Nothing expires meanwhile: it is as if all users had been active at once.

use std::error::Error;
use std::time::Duration;

use auth_adapter_redis::key::Keys;
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Cache, Redis};
use tokio::task::JoinSet;

const USERS: usize = 10_000;
const DEVICES: usize = 5;
const SESSIONS: usize = USERS * DEVICES;
const IN_FLIGHT: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
/// A pattern, how many keys it has, their TTL, and the nth key with its value.
type Pattern = (&'static str, usize, Duration, fn(&Keys, usize) -> Result<(String, String)>);

const PATTERNS: [Pattern; 5] = [
    ("user:{userId}", USERS, Keys::USER_TTL, |keys, n| {
        Ok((keys.user(&user(n).parse()?), list(n, device)))
    }),
    ("session:{sessionId}:active", SESSIONS, Keys::SESSION_ACTIVE_TTL, |keys, n| {
        let key = keys.session_active(&user(n / DEVICES).parse()?, &session(n).parse()?);
        Ok((key, "1".to_owned()))
    }),
    ("sessions:active:{userId}", USERS, Keys::SESSIONS_ACTIVE_TTL, |keys, n| {
        Ok((keys.sessions_active(&user(n).parse()?), list(n, |n| format!("{:?}", session(n)))))
    }),
    ("rt:hash:{hashedToken}", SESSIONS, Keys::REFRESH_TOKEN_TTL, |keys, n| {
        Ok((keys.refresh_token(&format!("{n:064x}").parse()?), token_record(n)))
    }),
    ("heartbeat:{sessionId}", SESSIONS, Keys::HEARTBEAT_TTL, |keys, n| {
        let key = keys.heartbeat(&user(n / DEVICES).parse()?, &session(n).parse()?);
        Ok((key, "1".to_owned()))
    }),
];

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start()?;
    // A busy machine may take its time: this is not about speed.
    let redis = Redis::connect(&server.url()).await?.with_call_deadline(Duration::from_secs(10))?;
    let empty = used_memory(&server).await?;

    println!("{:<28}{:>8}{:>7}{:>13}", "pattern", "keys", "MB", "bytes a key");
    for pattern in &PATTERNS {
        // Each pattern alone, so that none pays for a table that others have filled.
        server.command(&["FLUSHALL"])?;
        fill(&redis, pattern).await?;
        print(pattern.0, pattern.1, used_memory(&server).await? - empty);
    }
    server.command(&["FLUSHALL"])?;
    for pattern in &PATTERNS {
        fill(&redis, pattern).await?;
    }
    let used = used_memory(&server).await? - empty;
    print("all at once", PATTERNS.iter().map(|pattern| pattern.1).sum(), used);
    let product = if server.is_valkey() { "Valkey" } else { "Redis" };
    let (each, (major, minor, patch)) = (used / SESSIONS, server.version());
    println!("\n{each} bytes a session, on {product} {major}.{minor}.{patch}");
    Ok(())
}

/// Writes all keys of a pattern, with many calls in flight.
async fn fill(redis: &Redis, &(_, count, ttl, entry): &Pattern) -> Result<()> {
    let mut workers = JoinSet::new();
    for first in 0..IN_FLIGHT {
        let (cache, keys) = (Cache::new(redis.clone()), redis.keys());
        workers.spawn(async move {
            for n in (first..count).step_by(IN_FLIGHT) {
                let (key, value) = entry(&keys, n)?;
                cache.set(&key, &value, ttl).await?;
            }
            Ok(())
        });
    }
    workers.join_all().await.into_iter().collect()
}

async fn used_memory(server: &Server) -> Result<usize> {
    // Until the server has moved its keys to a larger table and freed the one before.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(server.info_field("memory", "used_memory").ok_or("not told")?.parse()?)
}

fn print(name: &str, keys: usize, bytes: usize) {
    println!("{name:<28}{keys:>8}{:>7.1}{:>13}", bytes as f64 / 1e6, bytes / keys);
}

/// A JSON list with an item for each of a user's sessions.
fn list(user: usize, item: fn(usize) -> String) -> String {
    let items: Vec<_> = (user * DEVICES..(user + 1) * DEVICES).map(item).collect();
    format!("[{}]", items.join(","))
}

fn device(n: usize) -> String {
    let (id, times) = (session(n), r#""created":1790000000000,"seen":1790000300000"#);
    format!(r#"{{"id":"{id}","device":"Firefox 144 on Ubuntu Linux","ip":"203.0.113.77",{times}}}"#)
}

fn token_record(n: usize) -> String {
    let (user, session, family) = (user(n / DEVICES), session(n), session(SESSIONS + n));
    let times = r#""generation":7,"rotated":1790000300000,"expires":1792592000000"#;
    format!(r#"{{"user":"{user}","session":"{session}","family":"{family}",{times}}}"#)
}

fn user(n: usize) -> String {
    format!("00000001-0000-4000-8000-{n:012x}")
}

fn session(n: usize) -> String {
    format!("00000002-0000-4000-8000-{n:012x}")
}
