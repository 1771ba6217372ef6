//! What passes a `PING` and serves nothing: it is asked less and less often.

use super::*;

/// By the default back-off, of which six waits take a second at the least.
async fn unhurried(url: String) -> Redis {
    let redis = Redis::builder().url(url).call_deadline(DEADLINE / 2).build().unwrap();
    redis.connected().await;
    redis
}

/// How often a connection was cut within a second, each as soon as it was there and `used`.
async fn cuts(used: impl AsyncFn(&Redis)) -> usize {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = unhurried(proxy.url()).await;
    let began = Instant::now();
    let mut cuts = 0;
    while began.elapsed() < Duration::from_secs(1) {
        tokio::time::timeout(HANG, redis.connected()).await.expect("it comes back");
        used(&redis).await;
        let before = proxy.connections();
        proxy.cut();
        until(|| proxy.connections() > before).await;
        cuts += 1;
    }
    cuts
}

#[tokio::test]
async fn a_connection_that_is_cut_before_anyone_was_served() {
    let cuts = cuts(async |_| {}).await;
    assert!((3..=8).contains(&cuts), "{cuts}");
}

#[tokio::test]
async fn but_not_one_that_has_served() {
    let cuts = cuts(async |redis| redis.ping().await.unwrap()).await;
    assert!(cuts > 20, "{cuts}");
}

/// How often the circuit opens in three seconds of such calls.
pub(super) async fn opened(redis: &Redis, call: impl AsyncFn(&Cache)) -> usize {
    let (log, _listening) = events();
    let cache = Cache::new(redis.clone());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        call(&cache).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    log.count("redis is away")
}

#[tokio::test]
async fn a_server_that_answers_what_does_not_write() {
    let server = Server::start().unwrap();
    let redis = unhurried(server.url()).await;
    let cache = Cache::new(redis.clone());
    cache.set("k", "v", LONG).await.unwrap();
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]).unwrap();
    let opened = opened(&redis, async |cache| {
        cache.set("k", "w", LONG).await.unwrap_err();
    });
    let opened = opened.await;
    assert!((3..=8).contains(&opened), "{opened}");
    server.command(&["CLIENT", "UNPAUSE"]).unwrap();
    let back = async { while cache.set("k", "w", LONG).await.is_err() {} };
    tokio::time::timeout(HANG, back).await.unwrap();
}
