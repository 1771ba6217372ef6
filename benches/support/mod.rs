//! What the benches share: a server of their own, ways to reach it, and many calls in flight.
#![allow(dead_code, unused_imports, reason = "each bench uses a part of it")]

mod basics;
pub mod compare;
pub mod family;
pub mod sessions;

use std::time::{Duration, Instant};

use auth_adapter_redis::Redis;
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{Cmd, Value, cmd};
use auth_adapter_redis::testing::Server;
use tokio::runtime::Runtime;

pub use basics::{TTL, connect, connect_with, flood, handle, handle_on, keys, runtime};

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
        let runtime = runtime();
        let connection = runtime.block_on(connect(&server));
        Self { runtime, connection, server }
    }

    /// A handle on the same connection that the commands built by hand use.
    pub fn redis(&self) -> Redis {
        handle_on(&self.connection)
    }
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
