//! What a typed call costs over the same call by other means, many of them in flight.
//!
//! Both sides use one and the same connection, send words of the same lengths, draw a fresh token
//! for each call, and take a free lock each time. The keys are spelt before the clock starts.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::lock::{Acquire, Leases};
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{Cmd, Script, Value};
use auth_adapter_redis::script;

use crate::measure::{Goal, Ratio, batch, speedup};
use crate::support::{Bench, Holder, TTL, TTL_MILLIS, flood, flush, keys, send};

const OWNER: &str = "bench-owner";
/// The most calls that a batch can have.
const MOST: usize = 65_536;

pub fn vs_raw_64(bench: &Bench) -> Ratio {
    Ratio {
        name: "call_vs_raw_64",
        goal: Goal::AtLeast(0.95),
        samples: against(bench, 64, evalsha),
        what: "calls a second: Leases::acquire over EVALSHA built by hand, 64 in flight",
    }
}

pub fn vs_raw_256(bench: &Bench) -> Ratio {
    Ratio {
        name: "call_vs_raw_256",
        goal: Goal::AtLeast(0.95),
        samples: against(bench, 256, evalsha),
        what: "calls a second: Leases::acquire over EVALSHA built by hand, 256 in flight",
    }
}

pub fn vs_redis_script_64(bench: &Bench) -> Ratio {
    let source = script::library().get("lock/acquire").unwrap().source();
    let script = Arc::new(Script::new(source));
    Ratio {
        name: "call_vs_redis_script_64",
        goal: Goal::AtLeast(0.95),
        samples: against(bench, 64, |connection, keys, calls| {
            invoke(Arc::clone(&script), connection, keys, calls)
        }),
        what: "calls a second: Leases::acquire over redis::Script::invoke_async, 64 in flight",
    }
}

pub fn acquire_vs_set_nx_64(bench: &Bench) -> Ratio {
    Ratio {
        name: "acquire_vs_set_nx_64",
        goal: Goal::None,
        samples: against(bench, 64, set_nx),
        what: "calls a second: Leases::acquire over SET NX PX built by hand, 64 in flight",
    }
}

/// Typed acquires against what `theirs` makes of a range of the keys.
fn against<F>(
    bench: &Bench,
    in_flight: usize,
    theirs: impl Fn(MultiplexedConnection, Arc<[String]>, Range<usize>) -> F,
) -> Vec<f64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let keys = keys(MOST);
    let locks = Leases::new(bench.redis()).with_owner(OWNER).unwrap();
    let fresh = async || flush(&mut bench.connection.clone()).await;
    let ours = async |calls| -> Duration {
        fresh().await;
        let worker = |range| acquire(locks.clone(), Arc::clone(&keys), range);
        flood(in_flight, calls, worker).await
    };
    let theirs = async |calls| -> Duration {
        fresh().await;
        let worker = |range| theirs(bench.connection.clone(), Arc::clone(&keys), range);
        flood(in_flight, calls, worker).await
    };
    bench.runtime.block_on(async {
        // Once before, so that the server has the script whoever comes first.
        ours(in_flight).await;
        let calls = batch(in_flight, &theirs).await.min(MOST);
        speedup(async || ours(calls).await, async || theirs(calls).await).await
    })
}

async fn acquire(locks: Leases, keys: Arc<[String]>, calls: Range<usize>) {
    for key in &keys[calls] {
        let outcome = locks.acquire(key, TTL).await.unwrap();
        assert!(matches!(outcome, Acquire::Acquired(_)), "{outcome:?}");
    }
}

async fn evalsha(mut connection: MultiplexedConnection, keys: Arc<[String]>, calls: Range<usize>) {
    let sha = script::library().get("lock/acquire").unwrap().sha();
    for key in &keys[calls] {
        let mut command = Cmd::with_capacity(6, 256);
        command.arg("EVALSHA").arg(sha).arg(1).arg(key);
        Holder::random(OWNER).add_to(&mut command);
        command.arg(TTL_MILLIS);
        assert_eq!(send(&mut connection, &command).await, Value::Int(0));
    }
}

async fn invoke(
    script: Arc<Script>,
    mut connection: MultiplexedConnection,
    keys: Arc<[String]>,
    calls: Range<usize>,
) {
    for key in &keys[calls] {
        let mut call = script.key(key);
        call.arg(Holder::random(OWNER).text()).arg(TTL_MILLIS);
        let taken: i64 = call.invoke_async(&mut connection).await.unwrap();
        assert_eq!(taken, 0);
    }
}

async fn set_nx(mut connection: MultiplexedConnection, keys: Arc<[String]>, calls: Range<usize>) {
    for key in &keys[calls] {
        let mut command = Cmd::with_capacity(6, 256);
        command.arg("SET").arg(key);
        Holder::random(OWNER).add_to(&mut command);
        command.arg("NX").arg("PX").arg(TTL_MILLIS);
        assert_eq!(send(&mut connection, &command).await, Value::Okay);
    }
}
