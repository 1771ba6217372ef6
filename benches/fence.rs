//! The fenced write against what a program would send instead: a check on the client, between whose read
//! and write another can come.

mod support;

use std::sync::Arc;

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::redis::{self, Value, cmd};
use auth_adapter_redis::{Fence, FencedStrings};
use criterion::Criterion;
use support::compare::{group, side};
use support::{Bench, flush, keys, send};

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    check_and_set(&mut criterion, &bench);
    criterion.final_summary();
}

fn check_and_set(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "fence/check_and_set");
    let strings = FencedStrings::new(bench.redis());
    let fence = Fence::from_u64(5).unwrap();
    side(&mut group, bench, "check_and_set", unset, |keys, calls| {
        let (strings, keys) = (strings.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let outcome = strings.check_and_set(key, "value", fence).await.unwrap();
                assert_eq!(outcome, CheckAndSet::Set);
            }
        }
    });
    let name = "GET, then MULTI, SET, SET, EXEC";
    side(&mut group, bench, name, unset, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let record = format!("{key}:fenced");
                assert_eq!(send(&mut connection, cmd("GET").arg(&record)).await, Value::Nil);
                let mut set = redis::pipe();
                set.atomic().set(key, "value").ignore().set(&record, 5).ignore();
                let () = set.query_async(&mut connection).await.unwrap();
            }
        }
    });
    group.finish();
}

/// So many keys with nothing at them, on a server that has the scripts.
async fn unset(bench: &Bench, count: usize) -> Arc<[String]> {
    auth_adapter_redis::script::library().load(&bench.redis()).await.unwrap();
    flush(&mut bench.connection.clone()).await;
    keys(count)
}
