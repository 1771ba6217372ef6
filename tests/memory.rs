//! What the calls of an outage took is given back when it is over. Alone in its process, whose memory is
//! counted.

mod support;

use std::alloc::System;
use std::time::Duration;

use auth_adapter_redis::testing::{Proxy, Server};
use auth_adapter_redis::{Cache, CacheAdapter, RedisCacheAdapter};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{HANG, comes_alive, quick, until};
use tokio::task::JoinSet;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: usize = 64;
const CALLS: usize = 10_000;
/// Tables that have grown once, and what a reconnect leaves.
const ROOM: usize = 64 * 1024;

fn in_use() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[tokio::test]
async fn ten_thousand_calls_of_an_outage_hold_no_memory_after_it() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let deadline = Duration::from_millis(100);
    let redis = quick(proxy.url()).call_deadline(deadline).build().unwrap();
    comes_alive(&redis).await;
    let adapter = std::sync::Arc::new(RedisCacheAdapter::new(redis.clone()));
    let outage = async || {
        proxy.black_hole();
        let mut calls = JoinSet::new();
        for task in 0..TASKS {
            let (cache, adapter) = (Cache::new(redis.clone()), adapter.clone());
            calls.spawn(async move {
                for at in 0..CALLS / TASKS {
                    let key = format!("k{task}:{at}");
                    assert!(cache.get(&key).await.is_err());
                    adapter.delete(&key).await;
                }
            });
        }
        let ended = tokio::time::timeout(HANG, calls.join_all());
        drop(ended.await.expect("none hangs"));
        assert!(adapter.health().deletes_pending > CALLS / 2);
        proxy.pass();
        comes_alive(&redis).await;
        until(|| adapter.health().deletes_pending == 0).await;
        in_use()
    };
    let first = outage().await;
    outage().await;
    let third = outage().await;
    assert!(third < first + ROOM, "{first} bytes after the first outage, {third} after the third");
}
