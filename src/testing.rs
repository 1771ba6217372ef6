//! A real Redis or Valkey server for anyone's tests, and a proxy that breaks the way to it.
//!
//! What a mock answers is what its author believes; these tests ask the server itself. A
//! [`Server`] starts in tens of milliseconds, belongs to its test alone, can be killed, paused and
//! restarted, and is gone with its files when the test ends, also if that ends by a panic or by
//! `kill -9`. A [`Proxy`] between a client and a server delays, cuts, holds and loses what passes. A
//! [`Cluster`] and a [`SentinelGroup`] are made of such servers. With the feature `testing-tls` a
//! server also speaks TLS.
//!
//! The server program is the one in the environment variable `REDIS_SERVER_BIN`, else
//! `valkey-server` or `redis-server` on `PATH`. Redis from 6.2 and Valkey are known to work.
//!
//! # Examples
//!
//! ```
//! use auth_adapter_redis::testing::{Proxy, Server};
//!
//! let server = Server::start()?;
//! let proxy = Proxy::to(&server)?;
//! // A client under test gets `proxy.url()`; the test looks at the server itself.
//! assert!(proxy.url().starts_with("redis://127.0.0.1:"));
//! assert_eq!(server.command(&["DBSIZE"])?.int(), Some(0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binary;
mod builder;
mod client;
mod cluster;
mod connection;
mod dir;
mod error;
mod group;
mod launch;
mod log;
mod mode;
mod ports;
mod proxy;
mod proxy_thread;
mod reply;
mod sentinel;
mod server;
mod stats;
#[cfg(feature = "testing-tls")]
mod tls;
mod watchdog;

use std::io;
use std::sync::OnceLock;

pub use builder::ServerBuilder;
pub use cluster::{Cluster, ClusterBuilder, Move};
pub use error::StartError;
pub use proxy::Proxy;
pub use reply::Reply;
pub use sentinel::{SentinelGroup, SentinelGroupBuilder};
pub use server::{Data, Server};
pub use stats::Stats;
#[cfg(feature = "testing-tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing-tls")))]
pub use tls::Certificates;

/// One server for all tests of a test program that do not mind each other, started at the first
/// call and ended with the process.
///
/// Tests that share it keep apart by [`random_prefix`]; those that break a server start their own.
///
/// # Panics
///
/// When it does not start, with a text that says why; without a server program that is one line.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::{random_prefix, shared};
///
/// let key = format!("{}counter", random_prefix());
/// assert_eq!(shared().command(&["INCR", &key])?.int(), Some(1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start().unwrap_or_else(|error| panic!("{error}")))
}

/// A prefix for keys that no other test has: `t`, twelve hexadecimal digits, and a colon.
///
/// # Panics
///
/// When the system has no randomness to give.
pub fn random_prefix() -> String {
    match random::<6>() {
        Ok(number) => format!("t{number:012x}:"),
        Err(error) => panic!("no randomness: {error}"),
    }
}

/// A number of so many random bytes, at most eight.
fn random<const BYTES: usize>() -> io::Result<u64> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Forty hexadecimal digits, as nodes and Sentinels are named.
fn new_id() -> io::Result<String> {
    (0..5).map(|_| random::<4>().map(|number| format!("{number:08x}"))).collect()
}
