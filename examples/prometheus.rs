//! What the crate counts and measures, for Prometheus: some traffic once a second, and a page
//! `/metrics` with what came of it.
//!
//! `cargo run --features metrics --example prometheus` uses `REDIS_URL`, or else a server of its own; with
//! `-- --once` it reads its own page once and ends. Stop the Redis meanwhile, and the page tells.

use std::{env, error::Error, io, time::Duration};

use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{CacheAdapter, Locks, Redis, RedisCacheAdapter, metrics};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const LEASE: Duration = Duration::from_millis(300);
/// From a round trip on one machine to a call's deadline, and on to a wait for a lock.
const BUCKETS: [f64; 12] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Before the first handle is made, so that nothing is missed.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .install_recorder()?;
    metrics::describe();

    let own = if env::var_os("REDIS_URL").is_none() { Some(Server::start()?) } else { None };
    let url = own.as_ref().map_or_else(|| env::var("REDIS_URL"), |server| Ok(server.url()))?;
    let redis = Redis::connect(&url).await?.with_prefix("example:")?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("http://{address}/metrics");
    tokio::spawn(serve(listener, prometheus.clone()));

    let cache = RedisCacheAdapter::new(redis.clone());
    let locks = Locks::new(redis).with_renewal();
    if env::args().any(|argument| argument == "--once") {
        traffic(&cache, &locks).await;
        let mut page = TcpStream::connect(address).await?;
        page.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut text = String::new();
        page.read_to_string(&mut text).await?;
        println!("{text}");
        return Ok(());
    }
    loop {
        traffic(&cache, &locks).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        prometheus.run_upkeep();
    }
}

/// Some of everything that is counted: a miss, a hit, a lock that is renewed and one that is waited for.
async fn traffic(cache: &RedisCacheAdapter, locks: &Locks) {
    cache.delete("report").await;
    if cache.get("report").await.is_none() {
        cache.set("report", "the report", Duration::from_secs(60)).await;
    }
    let _report = cache.get("report").await;

    let work = async {
        let taken = locks.acquire("lock", LEASE, Duration::from_secs(2)).await?;
        if let Some(guard) = taken.guard() {
            let _done = guard.run(tokio::time::sleep(LEASE / 2)).await;
            let _freed = guard.release().await?;
        }
        Ok::<(), auth_adapter_redis::Error>(())
    };
    let again = locks.acquire("lock", LEASE, Duration::from_secs(2));
    if let (Err(error), _) | (_, Err(error)) = tokio::join!(work, again) {
        println!("no lock: {error}");
    }
}

/// A web server that you have gives `prometheus.render()` at a path of its own instead.
async fn serve(listener: TcpListener, prometheus: PrometheusHandle) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(answer(socket, prometheus.clone()));
    }
}

async fn answer(mut socket: TcpStream, prometheus: PrometheusHandle) -> io::Result<()> {
    let mut request = BufReader::new(&mut socket).lines();
    let first = request.next_line().await?.unwrap_or_default();
    // The headers, which say nothing that matters here.
    while request.next_line().await?.is_some_and(|header| !header.is_empty()) {}
    let (status, body) = match first.starts_with("GET /metrics ") {
        true => ("200 OK", prometheus.render()),
        false => ("404 Not Found", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).await
}
