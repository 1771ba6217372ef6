//! The handle: it connects, waits, fails at once, comes back, and never lets old bytes through.

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod deadline;
mod given;
mod hurried;
mod reconnect;
mod runtime;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use auth_adapter_redis::lock::{Acquire, Leases, Release};
use auth_adapter_redis::redis::{Client, ProtocolVersion};
use auth_adapter_redis::testing::{Data, Proxy, Server};
use auth_adapter_redis::{Cache, Error, Redis};
use support::{HANG, LONG, SLACK, comes_alive, events, patient, quick, redis_on, set, until};

const DEADLINE: Duration = Duration::from_millis(200);

/// A handle with a short deadline, through a proxy, connected.
async fn through(proxy: &Proxy) -> Redis {
    let redis = quick(proxy.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    redis
}

/// Waits until the first attempt has failed, so that calls fail at once.
async fn is_down(redis: &Redis) {
    let down = async { while !matches!(redis.ping().await, Err(Error::Unavailable(_))) {} };
    tokio::time::timeout(HANG, down).await.expect("the attempt fails");
}
