//! What the benches share: a server of their own, ways to reach it, and many calls in flight.
#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod compare;
pub mod family;
pub mod sessions;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_adapter_redis::Redis;
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{AsyncConnectionConfig, Client, Cmd, Value, cmd};
use auth_adapter_redis::testing::Server;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Longer than any stall of a busy machine: a benchmark measures how long calls take, and none of
/// them may be cut off.
const PATIENCE: Duration = Duration::from_secs(30);

/// The TTL of everything the benches write.
pub const TTL: Duration = Duration::from_secs(600);
/// [`TTL`] as a hand-built command takes it.
pub const TTL_MILLIS: u64 = 600_000;

/// A private server, reached over TCP, and one connection to it.
pub struct Bench {
    pub runtime: Runtime,
    pub connection: MultiplexedConnection,
    pub server: Server,
}

impl Bench {
    pub fn start() -> Self {
        let server = Server::start().unwrap();
        // As many workers everywhere, so that figures of machines with more cores compare.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let connection = runtime.block_on(connect(&server));
        Self { runtime, connection, server }
    }

    /// A handle on the same connection that the commands built by hand use.
    pub fn redis(&self) -> Redis {
        let redis = Redis::from(self.connection.clone());
        redis.with_call_deadline(PATIENCE).unwrap()
    }
}

/// A connection as the redis crate makes it, response time-out and all: what a program without this
/// crate has. Only the time-out's length differs.
pub async fn connect(server: &Server) -> MultiplexedConnection {
    let client = Client::open(server.url()).unwrap();
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.unwrap()
}

/// A handle that connects itself.
pub async fn handle(server: &Server) -> Redis {
    let redis = Redis::connect(&server.url()).await.unwrap();
    assert!(redis.is_connected(), "no connection to {}", server.url());
    redis.with_call_deadline(PATIENCE).unwrap()
}

/// Sends a command built by hand, where an error reply is a failure of the benchmark.
pub async fn send(connection: &mut MultiplexedConnection, command: &Cmd) -> Value {
    match connection.send_packed_command(command).await {
        Ok(Value::ServerError(error)) => panic!("{error:?}"),
        reply => reply.unwrap(),
    }
}

/// Empties the server, so that no run finds more data than another.
pub async fn flush(connection: &mut MultiplexedConnection) {
    send(connection, &cmd("FLUSHDB")).await;
}

/// So many keys of one length.
pub fn keys(count: usize) -> Arc<[String]> {
    (0..count).map(|n| format!("bench:key:{n:010}")).collect()
}

/// Writes a value at each of these keys.
pub async fn fill(connection: &mut MultiplexedConnection, keys: &[String]) {
    for some in keys.chunks(1000) {
        let mut set = Cmd::with_capacity(1 + 2 * some.len(), 64 * some.len());
        set.arg("MSET");
        for key in some {
            set.arg(key).arg("value");
        }
        send(connection, &set).await;
    }
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

/// How long deleting these keys takes when it is done so many times, without the time for writing
/// them.
pub async fn repeat(
    bench: &Bench,
    keys: &[String],
    times: usize,
    delete: impl AsyncFn(),
) -> Duration {
    let mut connection = bench.connection.clone();
    let mut took = Duration::ZERO;
    for _ in 0..times {
        fill(&mut connection, keys).await;
        let start = Instant::now();
        delete().await;
        took += start.elapsed();
    }
    took
}

/// A lock's value as this crate writes it, under a token from the same source of randomness, put
/// together on the stack: what a careful program would send by hand.
pub struct Holder<'a> {
    head: [u8; 33],
    owner: &'a str,
}

impl<'a> Holder<'a> {
    pub fn random(owner: &'a str) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut token = [0; 16];
        getrandom::fill(&mut token).unwrap();
        let mut head = [b':'; 33];
        for (pair, byte) in head.chunks_exact_mut(2).zip(token) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self { head, owner }
    }

    /// Adds it to a command as one word, without a copy in between.
    pub fn add_to(&self, command: &mut Cmd) {
        use auth_adapter_redis::redis::RedisWrite;
        use std::io::Write;

        let mut word = command.writer_for_next_arg();
        word.write_all(&self.head).unwrap();
        word.write_all(self.owner.as_bytes()).unwrap();
    }

    /// As a string of its own, for commands that are sent over and over.
    pub fn text(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        format!("{head}{}", self.owner)
    }
}
