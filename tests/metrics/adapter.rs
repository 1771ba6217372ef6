//! The cache and the adapter over it: what was read, swallowed, rejected, and is still to be deleted.

use std::collections::BTreeMap;

use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::testing::Data;
use auth_adapter_redis::{
    Cache, CacheAdapter, FallbackRateLimiter, RateLimiter, RedisCacheAdapter,
};

use super::*;

#[tokio::test]
async fn each_read_is_counted_once_by_what_it_told() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let redis = on(&server).await;
    let (cache, adapter) = (Cache::new(redis.clone()), RedisCacheAdapter::new(redis.clone()));
    cache.set("private-key", "private-value", LONG).await.unwrap();
    server.command(&["LPUSH", "private:private-list", "x"]).unwrap();
    for key in ["private-key", "private-none"] {
        cache.get(key).await.unwrap();
        let _read = cache.read(key).await.unwrap();
        let _read = adapter.read(key).await.unwrap();
        let _value = adapter.get(key).await;
    }
    for key in ["private-list", ""] {
        cache.get(key).await.unwrap_err();
        cache.read(key).await.unwrap_err();
        assert_eq!(adapter.get(key).await, None);
    }
    tokio::select! {
        biased;
        told = cache.get("private-key") => panic!("{told:?}"),
        () = std::future::ready(()) => {}
    }
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    cache.get("private-key").await.unwrap_err();
    let _degraded = cache.read("private-key").await.unwrap();
    assert_eq!(adapter.get("private-key").await, None);
    let counts = BTreeMap::from([
        ("outcome=cancelled", 1),
        ("outcome=degraded", 3),
        ("outcome=hit", 4),
        ("outcome=miss", 4),
        ("outcome=rejected", 6),
    ]);
    assert_eq!(watch.seen().counts("reads_total"), counts);
}

/// The only one here that misses a delete: what is pending is of all adapters of a process.
#[tokio::test]
async fn what_was_swallowed_is_counted_as_in_health_and_deletes_are_pending_until_they_are_done() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let redis = on(&server).await;
    let [adapter, other] = [0, 1].map(|_| RedisCacheAdapter::new(redis.clone()));
    assert_eq!(watch.seen().level("deletes_pending"), 0.0);
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    adapter.set("private-key", "private-value", LONG).await;
    adapter.set("", "private-value", LONG).await;
    for key in ["private-a", "private-b"] {
        adapter.delete(key).await;
        assert_eq!(adapter.get(key).await, None);
    }
    other.delete_many(&["private-c"]).await;
    assert!(adapter.acquire_lock("private-lock", LONG).await, "within this process");
    let limiter = FallbackRateLimiter::new(RateLimiter::new(redis.clone()));
    let quota = Quota::per_hour(5);
    assert!(limiter.check("private-limit", &quota, 1).await.unwrap().is_allowed());
    let seen = watch.seen();
    let health = adapter.health();
    assert_eq!((health.swallowed.total(), health.rejected.set, health.deletes_pending), (6, 1, 2));
    let swallowed = BTreeMap::from([
        ("operation=acquire_lock", 1),
        ("operation=delete", 2),
        ("operation=delete_many", 1),
        ("operation=get", 2),
        ("operation=rate/check", 1),
        ("operation=set", 1),
    ]);
    assert_eq!(seen.counts("swallowed_total"), swallowed);
    assert_eq!(seen.counts("rejected_total"), BTreeMap::from([("operation=set", 1)]));
    assert_eq!(seen.level("deletes_pending"), 3.0);
    server.restart(Data::Lost).unwrap();
    until(|| [&adapter, &other].iter().all(|it| it.health().deletes_pending == 0)).await;
    assert_eq!(watch.seen().level("deletes_pending"), 0.0);
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    adapter.delete("private-d").await;
    other.delete("private-d").await;
    assert_eq!(watch.seen().level("deletes_pending"), 2.0);
    drop(other);
    until(|| watch.seen().level("deletes_pending") == 1.0).await;
}
