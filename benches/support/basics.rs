//! What every bench needs, also those outside this package: a way to the server, keys, and many calls
//! in flight.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_adapter_redis::Redis;
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{AsyncConnectionConfig, Client};
use auth_adapter_redis::testing::Server;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Longer than any stall of a busy machine: a benchmark measures how long calls take, and none of
/// them may be cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// The TTL of everything the benches write.
pub const TTL: Duration = Duration::from_secs(600);

/// As many threads everywhere, so that figures of machines with more cores compare.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A connection as the redis crate makes it, response time-out and all: what a program without this
/// crate has. Only the time-out's length differs.
pub async fn connect(server: &Server) -> MultiplexedConnection {
    connect_with(&server.url(), AsyncConnectionConfig::new()).await
}

/// The same with more to it.
pub async fn connect_with(url: &str, config: AsyncConnectionConfig) -> MultiplexedConnection {
    let config = config.set_response_timeout(Some(PATIENCE));
    let client = Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// A handle that connects itself.
pub async fn handle(server: &Server) -> Redis {
    let redis = Redis::connect(&server.url()).await.unwrap();
    assert!(redis.is_connected(), "no connection to {}", server.url());
    redis.with_call_deadline(PATIENCE).unwrap()
}

/// A handle on a connection that others use as well.
pub fn handle_on(connection: &MultiplexedConnection) -> Redis {
    Redis::from(connection.clone()).with_call_deadline(PATIENCE).unwrap()
}

/// So many keys of one length.
pub fn keys(count: usize) -> Arc<[String]> {
    (0..count).map(|n| format!("bench:key:{n:010}")).collect()
}

/// How long `calls` calls take with `in_flight` of them under way at any time. A worker makes the
/// calls of its range one after the other.
pub async fn flood<F>(
    in_flight: usize,
    calls: usize,
    worker: impl Fn(Range<usize>) -> F,
) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let share = calls.div_ceil(in_flight);
    let workers = (0..calls).step_by(share);
    let workers: Vec<F> = workers.map(|first| worker(first..calls.min(first + share))).collect();
    let mut running = JoinSet::new();
    let start = Instant::now();
    for worker in workers {
        running.spawn(worker);
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    start.elapsed()
}
