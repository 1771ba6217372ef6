//! The cache's operations against the commands that a program would send instead.

mod support;

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::Cache;
use auth_adapter_redis::redis::{Cmd, Pipeline, Value, cmd};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use support::compare::{group, side};
use support::{Bench, TTL, TTL_MILLIS, fill, flush, keys, repeat, send};

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    for verb in [get, set, delete, delete_many] {
        verb(&mut criterion, &bench);
    }
    criterion.final_summary();
}

fn get(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "cache/get");
    let cache = Cache::new(bench.redis());
    side(&mut group, bench, "get", present, |keys, calls| {
        let (cache, keys) = (cache.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                assert!(cache.get(key).await.unwrap().is_some());
            }
        }
    });
    side(&mut group, bench, "GET", present, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let value = cmd("GET").arg(key).query_async(&mut connection).await;
                let value: Option<String> = value.unwrap();
                assert!(value.is_some());
            }
        }
    });
    group.finish();
}

fn set(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "cache/set");
    let cache = Cache::new(bench.redis());
    side(&mut group, bench, "set", absent, |keys, calls| {
        let (cache, keys) = (cache.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                cache.set(key, "value", TTL).await.unwrap();
            }
        }
    });
    side(&mut group, bench, "SET PX", absent, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let mut set = cmd("SET");
                set.arg(key).arg("value").arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Okay);
            }
        }
    });
    group.finish();
}

fn delete(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "cache/delete");
    let cache = Cache::new(bench.redis());
    side(&mut group, bench, "delete", present, |keys, calls| {
        let (cache, keys) = (cache.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                assert!(cache.delete(key).await.unwrap());
            }
        }
    });
    side(&mut group, bench, "DEL", present, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let deleted = send(&mut connection, cmd("DEL").arg(key)).await;
                assert_eq!(deleted, Value::Int(1));
            }
        }
    });
    group.finish();
}

fn delete_many(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "cache/delete_many");
    let cache = Cache::new(bench.redis());
    for count in [1, 10, 100, 1000] {
        let keys = keys(count);
        let all = count as i64;
        sweep(&mut group, bench, "delete_many", &keys, async || {
            assert_eq!(cache.delete_many(&keys).await.unwrap(), count as u64);
        });
        sweep(&mut group, bench, "one DEL", &keys, async || {
            let mut delete = Cmd::with_capacity(1 + count, 32 * count);
            delete.arg("DEL").arg(&*keys);
            let deleted = send(&mut bench.connection.clone(), &delete).await;
            assert_eq!(deleted, Value::Int(all));
        });
        sweep(&mut group, bench, "a pipeline of DELs", &keys, async || {
            let mut delete = Pipeline::with_capacity(count);
            for key in keys.iter() {
                delete.del(key);
            }
            let mut connection = bench.connection.clone();
            let deleted: Vec<i64> = delete.query_async(&mut connection).await.unwrap();
            assert_eq!(deleted.iter().sum::<i64>(), all);
        });
        sweep(&mut group, bench, "DELs in turn", &keys, async || {
            let mut connection = bench.connection.clone();
            for key in keys.iter() {
                let deleted = send(&mut connection, cmd("DEL").arg(key)).await;
                assert_eq!(deleted, Value::Int(1));
            }
        });
    }
    group.finish();
}

/// Measures one way to delete all these keys. They are written while the clock stands.
fn sweep(
    group: &mut BenchmarkGroup<'_, WallTime>,
    bench: &Bench,
    name: &str,
    keys: &[String],
    delete: impl AsyncFn(),
) {
    group.bench_function(BenchmarkId::new(name, keys.len()), |bencher| {
        bencher.iter_custom(|times| -> Duration {
            let times = times as usize;
            let took = repeat(bench, keys, times, &delete);
            bench.runtime.block_on(took)
        });
    });
}

async fn absent(bench: &Bench, count: usize) -> Arc<[String]> {
    flush(&mut bench.connection.clone()).await;
    keys(count)
}

async fn present(bench: &Bench, count: usize) -> Arc<[String]> {
    let keys = absent(bench, count).await;
    fill(&mut bench.connection.clone(), &keys).await;
    keys
}
