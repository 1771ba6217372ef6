//! The handle: it connects, waits, fails at once, comes back, and never lets old bytes through.

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod deadline;
mod given;
mod reconnect;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use auth_adapter_redis::lock::{Acquire, Release};
use auth_adapter_redis::redis::{Client, ProtocolVersion};
use auth_adapter_redis::testing::{Data, Proxy, Server};
use auth_adapter_redis::{Cache, Error, Locks, Redis};
use support::{LONG, patient, quick, redis_on, set};

const DEADLINE: Duration = Duration::from_millis(200);
/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_millis(200);
/// Past this something hangs.
const HANG: Duration = Duration::from_secs(20);

/// A handle with a short deadline, through a proxy, connected.
async fn through(proxy: &Proxy) -> Redis {
    let redis = quick(proxy.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    redis
}

async fn comes_alive(redis: &Redis) {
    tokio::time::timeout(HANG, redis.connected()).await.expect("it comes alive");
    // A caller that tries again at once, in the one thread that the reconnect loop has too.
    tokio::time::timeout(HANG, async { while redis.ping().await.is_err() {} }).await.unwrap();
}

/// Waits until the first attempt has failed, so that calls fail at once.
async fn is_down(redis: &Redis) {
    let down = async { while !matches!(redis.ping().await, Err(Error::Unavailable(_))) {} };
    tokio::time::timeout(HANG, down).await.expect("the attempt fails");
}

/// Waits until something holds that the server or the loop brings about by itself.
async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("it comes to hold");
}
