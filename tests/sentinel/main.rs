//! A primary that Sentinels name: the handle finds it, follows it when another is named, and writes to
//! nobody else.

#[path = "../support/mod.rs"]
mod support;

mod failover;
mod find;
mod locks;

use std::time::{Duration, Instant};

use auth_adapter_redis::lock::{Acquire, Leases, Release};
use auth_adapter_redis::testing::{Data, Reply, SentinelGroup, Server};
use auth_adapter_redis::{Cache, Error, Redis};
use support::{HANG, LONG, comes_alive, quick, until};

/// A group that never fails over by itself.
fn calm() -> SentinelGroup {
    SentinelGroup::builder().replicas(1).down_after(LONG * 60).start().unwrap()
}

/// A handle for tests of outcomes, not of deadlines.
async fn patient(group: &SentinelGroup) -> Redis {
    let redis = quick(group.url()).call_deadline(Duration::from_secs(10)).build().unwrap();
    tokio::time::timeout(HANG, redis.connected()).await.expect("it finds the primary");
    redis
}

/// The addresses of these Sentinels, as the builder takes them.
fn addresses(sentinels: &[Server]) -> Vec<String> {
    sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect()
}
