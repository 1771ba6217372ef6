//! Locks on a server whose clock is stepped.
//!
//! The server runs under libfaketime, which Debian's package `faketime` has: it tells the server a
//! clock that is so many seconds from the machine's as a file says.
#![cfg(target_os = "linux")]

mod support;

#[path = "clock/server.rs"]
mod server;
// The tests are in modules whose names begin so, by which they are left out where there is no libfaketime.
#[path = "clock/stepped_between_holds.rs"]
mod stepped_between_holds;
#[path = "clock/stepped_while_held.rs"]
mod stepped_while_held;
#[path = "clock/stepped_while_waiting.rs"]
mod stepped_while_waiting;

use std::time::{Duration, Instant};

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::{Leases, Release};
use auth_adapter_redis::{LockGuard, Locks, Redis};
use server::Stepped;
use support::{HANG, LONG, quick};

const HOUR: i64 = 3600;

/// A handle of its own, as of another process, past the proxy if there is one.
async fn direct(server: &Stepped) -> Redis {
    let redis = quick(server.unix_url()).call_deadline(HANG).build().unwrap();
    redis.connected().await;
    redis
}

#[track_caller]
fn won(outcome: auth_adapter_redis::Result<Acquisition>) -> LockGuard {
    match outcome.unwrap() {
        Acquisition::Acquired(guard) => guard,
        held @ Acquisition::Held { .. } => panic!("expected the lock, got {held:?}"),
    }
}

async fn taken(locks: &Locks, ttl: Duration) -> LockGuard {
    won(locks.try_acquire("lock", ttl).await)
}

/// Waits until one who waits is in the queue.
async fn queued(redis: &Redis) {
    let leases = Leases::new(redis.clone());
    let wait = async {
        while leases.inspect("lock").await.unwrap().is_none_or(|held| held.waiters == 0) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("they come to be in the queue");
}

/// The milliseconds until the server ends the lock.
fn pttl(server: &Stepped) -> i64 {
    server.command(&["PTTL", "lock"]).unwrap().int().unwrap()
}

/// Fails where the guard can believe in the lock for longer than the server keeps it.
#[track_caller]
fn is_no_longer_than_the_servers(guard: &LockGuard, server: &Stepped) {
    let (asked, remaining) = (Instant::now(), guard.remaining());
    let left = Duration::from_millis(pttl(server).max(0).unsigned_abs());
    // The server may have been asked at any time since; a renewal only moves its end later.
    let most = left + asked.elapsed();
    assert!(remaining <= most, "{remaining:?} remain, the server has {left:?}");
}
