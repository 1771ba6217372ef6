//! The circuit: what opens it, what does not, and that nobody waits for a node that is away.

#[path = "circuit/flaps.rs"]
mod flaps;
#[path = "circuit/given.rs"]
mod given;
#[path = "circuit/gone.rs"]
mod gone;
#[path = "circuit/opens.rs"]
mod opens;
#[path = "circuit/stays_closed.rs"]
mod stays_closed;
mod support;

use std::time::{Duration, Instant, SystemTime};

use auth_adapter_redis::circuit::{CircuitState, Circuits};
use auth_adapter_redis::lock::{Acquire, Leases};
use auth_adapter_redis::redis::Client;
use auth_adapter_redis::redis::aio::ConnectionManager;
use auth_adapter_redis::testing::{Cluster, Data, Proxy, Server};
use auth_adapter_redis::{Cache, Error, Redis, ServerErrorKind};
use support::{HANG, LONG, SLACK, assert_server, comes_alive, events, on_lock, quick, set, until};

const DEADLINE: Duration = Duration::from_millis(200);
const TASKS: usize = 64;
const CALLS: usize = 10_000;

async fn handle(url: String) -> Redis {
    let redis = quick(url).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    redis
}

fn state(redis: &Redis) -> CircuitState {
    redis.circuits().borrow().state()
}

async fn changes(redis: &Redis, to: impl FnMut(&Circuits) -> bool) {
    let mut circuits = redis.circuits();
    let changed = tokio::time::timeout(HANG, circuits.wait_for(to));
    changed.await.expect("it changes").expect("the handle is there");
}

async fn opens(redis: &Redis) {
    changes(redis, |circuits| circuits.state() != CircuitState::Closed).await;
}

async fn closes(redis: &Redis) {
    changes(redis, |circuits| circuits.state() == CircuitState::Closed).await;
}

/// What many calls came to that all failed.
#[derive(Default)]
struct Failed {
    took: Duration,
    /// How many were not told at once.
    waited: usize,
}

async fn calls(redis: &Redis) -> Failed {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let cache = Cache::new(redis.clone());
        tasks.spawn(async move {
            let mut failed = Failed::default();
            for _ in 0..CALLS / TASKS {
                let told = cache.get("k").await.unwrap_err();
                failed.waited += usize::from(waited(&told));
            }
            failed
        });
    }
    let failed = tasks.join_all().await;
    Failed { took: began.elapsed(), waited: failed.iter().map(|of| of.waited).sum() }
}

/// Whether a call that ended so had waited for something.
fn waited(told: &Error) -> bool {
    match told {
        Error::Unavailable(why) => why.contains("the deadline of"),
        told => told.may_have_executed(),
    }
}
