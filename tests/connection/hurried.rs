//! Callers with less patience than the handle, who go away before its deadline: what they give up on is
//! noticed all the same.

use super::*;
use auth_adapter_redis::testing::Cluster;
use auth_adapter_redis::{CacheAdapter, RedisCacheAdapter};

/// Below the default deadline, as a web server's own time-out may be.
const PATIENCE: Duration = Duration::from_millis(150);

/// Calls, and gives each up too early, until one is answered.
async fn answered<T>(mut call: impl AsyncFnMut() -> Option<T>) {
    let answered = async {
        while !matches!(tokio::time::timeout(PATIENCE, call()).await, Ok(Some(_))) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, answered).await.expect("one is answered");
}

#[tokio::test]
async fn a_dead_connection_is_replaced() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = Redis::connect(&proxy.url()).await.unwrap();
    let cache = Cache::new(redis.clone());
    cache.set("k", "v", LONG).await.unwrap();
    proxy.freeze_present();
    answered(async || cache.get("k").await.ok()).await;
    let adapter = RedisCacheAdapter::new(redis);
    proxy.freeze_present();
    answered(async || adapter.get("k").await).await;
    assert_eq!(proxy.connections(), 3);
}

#[tokio::test]
async fn a_failover_is_followed() {
    let cluster = Cluster::start().unwrap();
    let redis = Redis::connect(&cluster.url()).await.unwrap();
    tokio::time::timeout(HANG, redis.connected()).await.unwrap();
    let cache = Cache::new(redis.clone());
    cache.set("k", "v", LONG).await.unwrap();
    let last = cluster.primary_of_key("k").unwrap();
    last.pause().unwrap();
    until(|| cluster.primary_of_key("k").is_ok_and(|now| now.port() != last.port())).await;
    answered(async || cache.get("k").await.ok()).await;
    last.resume().unwrap();
}

/// Whoever goes away from a server that is sound costs it next to nothing.
#[tokio::test]
async fn a_sound_server_is_not_asked_for_each() {
    let server = Server::start().unwrap();
    let redis = redis_on(&server).await;
    let cache = Cache::new(redis.clone());
    let before = server.command_calls("ping");
    for _ in 0..1000 {
        tokio::select! {
            biased;
            _ = cache.get("k") => panic!("it cannot be there yet"),
            () = tokio::task::yield_now() => {}
        }
        // The loop and the connection have their turn.
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    let pings = server.command_calls("ping") - before;
    assert!(pings <= 5, "{pings}");
}
