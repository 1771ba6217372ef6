//! A cluster: calls go where their slot is served, follow it when it moves, and stop only where a
//! primary is gone.

#[path = "../support/mod.rs"]
mod support;

mod away;
#[cfg(feature = "cluster-connection")]
mod given;
mod guests;
mod late;
mod redirects;
mod resent;
mod sessions;
mod slots;
mod swept;
mod waits;

use std::time::{Duration, Instant};

use auth_adapter_redis::key::slot;
use auth_adapter_redis::limiter::Decision;
use auth_adapter_redis::lock::{Acquire, Leases, Release};
use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::{Cluster, Reply, Server};
use auth_adapter_redis::{
    Cache, CacheAdapter, Error, FallbackRateLimiter, RateLimiter, Redis, RedisCacheAdapter,
    ServerErrorKind,
};
use support::{HANG, LONG, SLACK, comes_alive, quick, until};

const DEADLINE: Duration = Duration::from_millis(200);

/// A cluster of so many primaries, which have no replicas, and a handle on it.
async fn primaries(count: usize) -> (Cluster, Redis) {
    let cluster = Cluster::builder().primaries(count).replicas_each(0).start().unwrap();
    let redis = patient(&cluster).await;
    (cluster, redis)
}

/// A handle for tests of outcomes, not of deadlines.
async fn patient(cluster: &Cluster) -> Redis {
    let redis = quick(cluster.url()).call_deadline(Duration::from_secs(10)).build().unwrap();
    tokio::time::timeout(HANG, redis.connected()).await.expect("it finds the cluster");
    redis
}

/// A handle that gives up early.
async fn hurried(cluster: &Cluster) -> Redis {
    let redis = quick(cluster.url()).call_deadline(DEADLINE).build().unwrap();
    tokio::time::timeout(HANG, redis.connected()).await.expect("it finds the cluster");
    redis
}

/// A key of the slots that each of these nodes serves, in their order.
fn key_on(cluster: &Cluster, node: &Server) -> String {
    let serves =
        |key: &String| cluster.primary_of_slot(slot(key.as_bytes())).unwrap().port() == node.port();
    (0..).map(|at| format!("k{at}")).find(serves).unwrap()
}

fn ok(reply: &Reply) {
    assert_eq!(reply.text(), Some("OK"), "{reply:?}");
}
