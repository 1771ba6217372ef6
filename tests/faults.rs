//! The seven operations under each fault of a server: one test for each pair. No error, no panic,
//! an answer within the deadline, the fallback that the documentation names, and it is counted.

mod support;

use std::pin::Pin;
use std::time::{Duration, Instant};

use auth_adapter_redis::adapter::Calls;
use auth_adapter_redis::testing::{Data, Server};
use auth_adapter_redis::{CacheAdapter, Redis, RedisCacheAdapter};
use support::target::{Own, own, own_behind_proxy, own_unready_with};
use support::{LONG, SLACK, comes_alive, quick, set, until};

const DEADLINE: Duration = Duration::from_millis(200);

/// What a fault leaves of Redis.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Nothing,
    /// It answers and can be read, until it has refused to write: then another is waited for that
    /// writes.
    ReadsUntilAWrite,
    /// Deletes go as well.
    ReadsAndDeletes,
}

/// A server with a fault, an adapter on it, and what keeps both alive.
struct Broken {
    adapter: RedisCacheAdapter,
    /// Whether the adapter has taken the lock `held` before the fault.
    holds: bool,
    left: Left,
    server: Own,
}

/// What is in every server, from before its fault.
const KEYS: [&str; 2] = ["k", "l"];
const VALUE: &str = "from before";

fn filled(server: Own) -> Own {
    for key in KEYS {
        assert_eq!(server.command(&["SET", key, VALUE]).unwrap().text(), Some("OK"));
    }
    server
}

fn handle(url: String) -> Redis {
    quick(url).call_deadline(DEADLINE).build().unwrap()
}

/// An adapter that holds the lock `held`.
async fn holding(url: String) -> (RedisCacheAdapter, Redis) {
    let redis = handle(url);
    comes_alive(&redis).await;
    let adapter = RedisCacheAdapter::new(redis.clone());
    assert!(adapter.acquire_lock("held", LONG).await);
    assert_eq!(adapter.health().swallowed.total(), 0, "it is Redis that has it");
    (adapter, redis)
}

fn broken(adapter: RedisCacheAdapter, left: Left, server: Own) -> Broken {
    Broken { adapter, holds: true, left, server }
}

fn never_sound(server: Own) -> Broken {
    let adapter = RedisCacheAdapter::new(handle(server.url()));
    Broken { holds: false, ..broken(adapter, Left::Nothing, server) }
}

/// Connections are refused: the process is gone.
async fn refusing() -> Broken {
    let server = filled(own());
    let (adapter, _) = holding(server.url()).await;
    server.kill().unwrap();
    broken(adapter, Left::Nothing, server)
}

/// It was never there.
async fn never_there() -> Broken {
    let server = filled(own());
    server.kill().unwrap();
    never_sound(server)
}

/// Connections are accepted, the present one too, and nothing is ever answered.
async fn never_answering() -> Broken {
    let server = filled(own_behind_proxy());
    let (adapter, _) = holding(server.url()).await;
    server.proxy().black_hole();
    broken(adapter, Left::Nothing, server)
}

/// The same from the first connection on.
async fn never_having_answered() -> Broken {
    let server = filled(own_behind_proxy());
    server.proxy().black_hole();
    never_sound(server)
}

/// Every answer is bytes that are no reply.
async fn garbage() -> Broken {
    let server = filled(own_behind_proxy());
    let (adapter, _) = holding(server.url()).await;
    server.proxy().garbage();
    broken(adapter, Left::Nothing, server)
}

/// The server reads its data from disk, and says so.
async fn loading() -> Broken {
    // It looks at its connections every two megabytes: once per key here, and for seconds.
    let slow = ["--rdbcompression", "no", "--key-load-delay", "50000"];
    let server = filled(own_unready_with(&slow));
    for key in 0..60 {
        server.command(&["SETRANGE", &key.to_string(), "2200000", "x"]).unwrap();
    }
    assert_eq!(server.command(&["SAVE"]).unwrap().text(), Some("OK"));
    let (adapter, redis) = holding(server.url()).await;
    Server::restart(&server, Data::Kept).unwrap();
    let told = redis.circuits();
    until(|| told.borrow().iter().any(|node| node.why.as_deref().is_some_and(says_loading))).await;
    broken(adapter, Left::Nothing, server)
}

fn says_loading(why: &str) -> bool {
    why.contains("LOADING")
}

/// It can be read, and no more.
async fn read_only() -> Broken {
    let server = filled(own());
    let (adapter, _) = holding(server.url()).await;
    server.refuse_writes();
    broken(adapter, Left::ReadsUntilAWrite, server)
}

/// It is over its `maxmemory` and evicts nothing.
async fn out_of_memory() -> Broken {
    let server = filled(own());
    let (adapter, _) = holding(server.url()).await;
    set(&server, "maxmemory", "1024");
    let told = server.command(&["SET", "m", "v"]).unwrap();
    assert!(told.error().unwrap().starts_with("OOM"), "{told:?}");
    broken(adapter, Left::ReadsAndDeletes, server)
}

/// A call, which must end in time.
async fn timed<T>(call: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    let began = Instant::now();
    let answer = call.await;
    let took = began.elapsed();
    assert!(took < DEADLINE + SLACK, "{took:?}");
    answer
}

/// What was swallowed, where it was this many in all.
#[track_caller]
fn swallowed(adapter: &RedisCacheAdapter, total: u64) -> Calls {
    let health = adapter.health();
    assert_eq!(health.rejected.total(), 0);
    assert_eq!(health.swallowed.total(), total, "{health:?}");
    health.swallowed
}

async fn get(Broken { adapter, left, .. }: Broken) {
    let expected = (left != Left::Nothing).then_some(VALUE);
    assert_eq!(timed(adapter.get("k")).await.as_deref(), expected);
    let lost = u64::from(expected.is_none());
    assert_eq!(swallowed(&adapter, lost).get, lost);
}

async fn set_(Broken { adapter, left, server, .. }: Broken) {
    timed(adapter.set("k", "new", LONG)).await;
    assert_eq!(swallowed(&adapter, 1).set, 1);
    if left != Left::Nothing {
        let seen = (left == Left::ReadsAndDeletes).then_some(VALUE);
        assert_eq!(timed(adapter.get("k")).await.as_deref(), seen);
        assert_eq!(server.command(&["GET", "k"]).unwrap().text(), Some(VALUE), "as it was");
    }
}

async fn delete(Broken { adapter, left, server, .. }: Broken) {
    timed(adapter.delete("k")).await;
    deleted(&server, left, 1);
    let lost = u64::from(left != Left::ReadsAndDeletes);
    assert_eq!(swallowed(&adapter, lost).delete, lost);
}

async fn delete_many(Broken { adapter, left, server, .. }: Broken) {
    timed(adapter.delete_many(&["k", "l", "m"])).await;
    deleted(&server, left, 2);
    let lost = u64::from(left != Left::ReadsAndDeletes);
    assert_eq!(swallowed(&adapter, lost).delete_many, lost);
}

/// How many keys are gone, on a server that can be asked.
fn deleted(server: &Server, left: Left, keys: i64) {
    if left != Left::Nothing {
        let there = KEYS.map(|key| server.command(&["EXISTS", key]).unwrap().int().unwrap());
        let expected = if left == Left::ReadsAndDeletes { 2 - keys } else { 2 };
        assert_eq!(there.iter().sum::<i64>(), expected);
    }
}

async fn acquire_lock(Broken { adapter, .. }: Broken) {
    assert!(timed(adapter.acquire_lock("job", LONG)).await, "the first task of this process");
    assert!(!timed(adapter.acquire_lock("job", LONG)).await, "the second");
    assert_eq!(swallowed(&adapter, 1).acquire_lock, 1);
}

async fn release_lock(Broken { adapter, holds, left, server, .. }: Broken) {
    assert!(timed(adapter.acquire_lock("job", LONG)).await);
    timed(adapter.release_lock("job")).await;
    timed(adapter.release_lock("never taken")).await;
    assert!(timed(adapter.acquire_lock("job", LONG)).await, "it is free for the next task");
    timed(adapter.release_lock("held")).await;
    let lost = u64::from(holds && left != Left::ReadsAndDeletes);
    assert_eq!(swallowed(&adapter, 2 + lost).release_lock, lost);
    if left != Left::Nothing {
        let there = server.command(&["EXISTS", "held"]).unwrap().int();
        assert_eq!(there, Some(i64::from(left != Left::ReadsAndDeletes)));
    }
}

async fn is_available(Broken { adapter, left, .. }: Broken) {
    assert_eq!(timed(adapter.is_available()).await, left != Left::Nothing);
    assert_eq!(adapter.health().is_reachable(), left != Left::Nothing);
    swallowed(&adapter, 0);
}

macro_rules! pairs {
    ($($fault:ident)*) => {
        $(mod $fault {
            use super::$fault as fault;

            #[tokio::test]
            async fn get() {
                super::get(fault().await).await;
            }

            #[tokio::test]
            async fn set() {
                super::set_(fault().await).await;
            }

            #[tokio::test]
            async fn delete() {
                super::delete(fault().await).await;
            }

            #[tokio::test]
            async fn delete_many() {
                super::delete_many(fault().await).await;
            }

            #[tokio::test]
            async fn acquire_lock() {
                super::acquire_lock(fault().await).await;
            }

            #[tokio::test]
            async fn release_lock() {
                super::release_lock(fault().await).await;
            }

            #[tokio::test]
            async fn is_available() {
                super::is_available(fault().await).await;
            }
        })*
    };
}

pairs! {
    refusing
    never_there
    never_answering
    never_having_answered
    garbage
    loading
    read_only
    out_of_memory
}
