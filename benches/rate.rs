//! The rate limit's operations against the commands that a program would send instead: counters of a
//! fixed window, which let twice as much pass around the end of one.

mod support;

use std::sync::Arc;

use auth_adapter_redis::RateLimiter;
use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{Pipeline, Value, cmd};
use criterion::Criterion;
use support::compare::{group, side};
use support::{Bench, TTL_MILLIS, fill, flood, flush, keys, send};

/// Of which nothing is denied, and nothing that was taken is back while a benchmark runs.
const QUOTA: Quota = Quota::per_minute(1).burst(10);
/// The window of the counters, in seconds.
const WINDOW: u64 = TTL_MILLIS / 1000;

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    for verb in [check, check_many, peek, reset] {
        verb(&mut criterion, &bench);
    }
    criterion.final_summary();
}

fn check(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "rate/check");
    let limiter = RateLimiter::new(bench.redis());
    side(&mut group, bench, "check", full, |keys, calls| {
        let (limiter, keys) = (limiter.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                assert!(limiter.check(key, &QUOTA, 1).await.unwrap().is_allowed());
            }
        }
    });
    let name = "MULTI, INCR, EXPIRE, EXEC";
    side(&mut group, bench, name, full, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                count(&mut connection, &[key]).await;
            }
        }
    });
    side(&mut group, bench, "INCR, then EXPIRE", full, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                count_in_turn(&mut connection, key).await;
            }
        }
    });
    // GCRA on the client: whoever comes in between is not counted.
    side(&mut group, bench, "GET, then SET PX", full, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                send(&mut connection, cmd("GET").arg(key)).await;
                let mut set = cmd("SET");
                set.arg(key).arg("1790000000000000").arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Okay);
            }
        }
    });
    group.finish();
}

/// Two quotas, as of a user and of an address.
fn check_many(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "rate/check_many");
    let limiter = RateLimiter::new(bench.redis());
    side(&mut group, bench, "check_many", full_pairs, |pairs, calls| {
        let (limiter, pairs) = (limiter.clone(), Arc::clone(pairs));
        async move {
            for [user, address] in &pairs[calls] {
                let limits = [(user, QUOTA), (address, QUOTA)];
                assert!(limiter.check_many(&limits, 1).await.unwrap().is_allowed());
            }
        }
    });
    side(&mut group, bench, "two checks in turn", full_pairs, |pairs, calls| {
        let (limiter, pairs) = (limiter.clone(), Arc::clone(pairs));
        async move {
            for key in pairs[calls].iter().flatten() {
                assert!(limiter.check(key, &QUOTA, 1).await.unwrap().is_allowed());
            }
        }
    });
    let name = "MULTI, INCR, EXPIRE, INCR, EXPIRE, EXEC";
    side(&mut group, bench, name, full_pairs, |pairs, calls| {
        let (mut connection, pairs) = (bench.connection.clone(), Arc::clone(pairs));
        async move {
            for [user, address] in &pairs[calls] {
                count(&mut connection, &[user, address]).await;
            }
        }
    });
    let name = "INCR, EXPIRE, INCR, EXPIRE in turn";
    side(&mut group, bench, name, full_pairs, |pairs, calls| {
        let (mut connection, pairs) = (bench.connection.clone(), Arc::clone(pairs));
        async move {
            for key in pairs[calls].iter().flatten() {
                count_in_turn(&mut connection, key).await;
            }
        }
    });
    group.finish();
}

fn peek(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "rate/peek");
    let limiter = RateLimiter::new(bench.redis());
    side(&mut group, bench, "peek", spent, |keys, calls| {
        let (limiter, keys) = (limiter.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                assert!(limiter.peek(key, &QUOTA).await.unwrap().remaining > 0);
            }
        }
    });
    side(&mut group, bench, "GET, then PTTL", counted, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let value = send(&mut connection, cmd("GET").arg(key)).await;
                assert!(matches!(value, Value::BulkString(_)), "{value:?}");
                send(&mut connection, cmd("PTTL").arg(key)).await;
            }
        }
    });
    side(&mut group, bench, "GET", counted, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let value = send(&mut connection, cmd("GET").arg(key)).await;
                assert!(matches!(value, Value::BulkString(_)), "{value:?}");
            }
        }
    });
    group.finish();
}

fn reset(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "rate/reset");
    let limiter = RateLimiter::new(bench.redis());
    side(&mut group, bench, "reset", spent, |keys, calls| {
        let (limiter, keys) = (limiter.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                assert!(limiter.reset(key, &QUOTA).await.unwrap());
            }
        }
    });
    side(&mut group, bench, "DEL", counted, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                assert_eq!(send(&mut connection, cmd("DEL").arg(key)).await, Value::Int(1));
            }
        }
    });
    group.finish();
}

/// Counts one at each key, at one instant.
async fn count(connection: &mut MultiplexedConnection, keys: &[&String]) {
    let mut count = Pipeline::with_capacity(2 * keys.len());
    count.atomic();
    for key in keys {
        count.incr(key, 1);
        count.cmd("EXPIRE").arg(key).arg(WINDOW).ignore();
    }
    let counted: Vec<i64> = count.query_async(connection).await.unwrap();
    assert_eq!(counted.len(), keys.len());
}

async fn count_in_turn(connection: &mut MultiplexedConnection, key: &String) {
    assert_eq!(send(connection, cmd("INCR").arg(key)).await, Value::Int(1));
    let mut expire = cmd("EXPIRE");
    expire.arg(key).arg(WINDOW);
    assert_eq!(send(connection, &expire).await, Value::Int(1));
}

/// So many full buckets, on a server that has the scripts.
async fn full(bench: &Bench, count: usize) -> Arc<[String]> {
    auth_adapter_redis::script::library().load(&bench.redis()).await.unwrap();
    flush(&mut bench.connection.clone()).await;
    keys(count)
}

async fn full_pairs(bench: &Bench, count: usize) -> Arc<[[String; 2]]> {
    let keys = full(bench, count).await;
    keys.iter().map(|key| [format!("user:{key}"), format!("address:{key}")]).collect()
}

/// So many buckets of which something was taken.
async fn spent(bench: &Bench, count: usize) -> Arc<[String]> {
    let keys = full(bench, count).await;
    let limiter = RateLimiter::new(bench.redis());
    flood(64, count, |range| {
        let (limiter, keys) = (limiter.clone(), Arc::clone(&keys));
        async move {
            for key in &keys[range] {
                assert!(limiter.check(key, &QUOTA, 5).await.unwrap().is_allowed());
            }
        }
    })
    .await;
    keys
}

/// So many counters.
async fn counted(bench: &Bench, count: usize) -> Arc<[String]> {
    let keys = full(bench, count).await;
    fill(&mut bench.connection.clone(), &keys).await;
    keys
}
