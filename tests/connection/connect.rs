//! Making a handle: what it is given, and a server that is not there yet.

use super::*;

#[tokio::test]
async fn a_url_gives_a_connected_handle() {
    let server = Server::start().unwrap();
    let redis = Redis::connect(&server.url()).await.unwrap();
    assert!(redis.is_connected());
    redis.ping().await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let server = Server::start().unwrap();
    let redis = Redis::connect(&server.unix_url()).await.unwrap();
    redis.ping().await.unwrap();
    let path = server.unix_url().replace("unix://", "");
    let built = Redis::builder().unix_socket(path).build().unwrap();
    built.connected().await;
    built.ping().await.unwrap();
}

#[tokio::test]
async fn both_protocol_versions_serve_every_reply_shape() {
    let server = Server::start().unwrap();
    for version in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
        let redis = patient(&server).resp(version).build().unwrap();
        redis.connected().await;
        let locks = Leases::new(redis.clone());
        assert_eq!(locks.inspect("k").await.unwrap(), None);
        let Acquire::Acquired(token) = locks.acquire("k", LONG).await.unwrap() else {
            panic!("free");
        };
        assert!(locks.inspect("k").await.unwrap().is_some());
        assert_eq!(locks.release("k", &token).await.unwrap(), Release::Freed);
        assert_eq!(Cache::new(redis).get("absent").await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_db_the_prefix_and_the_name_are_those_asked_for() {
    let server = Server::start().unwrap();
    let redis = patient(&server).db(3).prefix("app:").client_name("api-1").build().unwrap();
    redis.connected().await;
    Cache::new(redis.clone()).set("k", "v", LONG).await.unwrap();
    let keys = server.command(&["INFO", "keyspace"]).unwrap();
    assert!(keys.text().unwrap().contains("db3:keys=1"));
    let clients = server.command(&["CLIENT", "LIST"]).unwrap();
    assert!(clients.text().unwrap().contains("name=api-1"));
    let other = redis_on(&server).await;
    assert_eq!(Cache::new(other).get("app:k").await.unwrap(), None);
    let same = patient(&server).db(3).build().unwrap();
    same.connected().await;
    assert_eq!(Cache::new(same).get("app:k").await.unwrap().as_deref(), Some("v"));
}

#[tokio::test]
async fn a_user_with_a_password_is_logged_in() {
    let server = Server::start().unwrap();
    let acl = ["ACL", "SETUSER", "app", "on", ">pä:ss@", "~*", "&*", "+@all"];
    server.command(&acl).unwrap();
    let redis = patient(&server).username("app").password("pä:ss@").build().unwrap();
    redis.connected().await;
    let url = server.url().replace("redis://", "redis://app:p%C3%A4%3Ass%40@");
    let by_url = Redis::connect(&url).await.unwrap();
    assert!(redis.is_connected() && by_url.is_connected());
    let clients = server.command(&["CLIENT", "LIST"]).unwrap();
    assert_eq!(clients.text().unwrap().matches("user=app").count(), 2);
}

#[tokio::test]
async fn a_server_that_is_down_is_no_error_and_is_waited_for() {
    let server = Server::start().unwrap();
    server.kill().unwrap();
    let redis = quick(server.url()).build().unwrap();
    let connected = Redis::connect(&server.url()).await.unwrap();
    is_down(&redis).await;
    assert!(!redis.is_connected() && !connected.is_connected());
    server.restart(Data::Lost).unwrap();
    comes_alive(&redis).await;
    comes_alive(&connected).await;
}

#[tokio::test]
async fn while_it_is_down_calls_fail_at_once_and_say_that_nothing_was_sent() {
    let server = Server::start().unwrap();
    server.kill().unwrap();
    let redis = quick(server.url()).call_deadline(LONG).build().unwrap();
    is_down(&redis).await;
    let began = Instant::now();
    for _ in 0..1000 {
        let outcome = Leases::new(redis.clone()).acquire("k", LONG).await;
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    assert!(began.elapsed() < LONG / 10, "{:?}", began.elapsed());
}

#[tokio::test]
async fn bad_settings_are_told_before_anything_is_tried() {
    let config = |outcome: Result<Redis, Error>| match outcome {
        Err(Error::Config(why)) => why,
        other => panic!("expected a config error, got {other:?}"),
    };
    for url in [
        "",
        "localhost",
        "http://h",
        "redis://",
        "redis://h:99999",
        "redis://h/x",
        "redis://h/-1",
        "redis://h?protocol=9",
        "unix:",
        "redis+sentinel2://h",
    ] {
        config(Redis::connect(url).await);
    }
    let both = Redis::builder().url("redis://h").host("h").build();
    assert!(config(both).contains("more than one of a URL"));
    config(Redis::builder().unix_socket("/s").port(1).build());
    config(Redis::builder().url("redis://h").tls(true).build());
    let secret = Redis::connect("redis://user:hunter2@h:x/").await.unwrap_err();
    assert!(!format!("{secret} {secret:?}").contains("hunter2"));
    let builder = Redis::builder().url("redis://:hunter2@h").password("hunter2");
    assert!(!format!("{builder:?}").contains("hunter2"));
    let invalid = [
        Redis::builder().call_deadline(Duration::ZERO),
        Redis::builder().call_deadline(Duration::MAX),
        Redis::builder().connect_timeout(Duration::ZERO),
        Redis::builder().backoff(Duration::ZERO, DEADLINE),
        Redis::builder().backoff(DEADLINE, DEADLINE / 2),
        Redis::builder().prefix("a{b}"),
        Redis::builder().client_name("a b"),
    ];
    for builder in invalid {
        let outcome = builder.build();
        assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
    }
}

#[test]
fn a_handle_outside_a_runtime_is_an_error_and_no_panic() {
    let outcome = Redis::builder().build();
    assert!(matches!(outcome, Err(Error::Config(why)) if why.contains("runtime")));
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn tls_without_the_feature_is_an_error_that_names_it() {
    for outcome in [Redis::connect("rediss://localhost").await, Redis::builder().tls(true).build()]
    {
        assert!(matches!(outcome, Err(Error::Config(why)) if why.contains("feature `tls`")));
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_to_a_server_without_it_fails_and_does_not_panic() {
    let server = Server::start().unwrap();
    let redis = Redis::connect(&server.url().replace("redis://", "rediss://")).await.unwrap();
    assert!(!redis.is_connected());
    let outcome = redis.ping().await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_dropped_handle_closes_its_connection_and_ends_its_loop() {
    let server = Server::start().unwrap();
    let redis = redis_on(&server).await;
    let clone = redis.clone();
    let clients = || server.info_field("clients", "connected_clients").unwrap();
    drop(redis);
    clone.ping().await.unwrap();
    let with = clients();
    drop(clone);
    until(|| clients() != with).await;
    let before = server.info_field("stats", "total_connections_received").unwrap();
    tokio::time::sleep(DEADLINE).await;
    let after = server.info_field("stats", "total_connections_received").unwrap();
    let ours: u64 = after.parse::<u64>().unwrap() - before.parse::<u64>().unwrap();
    assert_eq!(ours, 1, "only this test's own question");
}

#[tokio::test]
async fn a_server_that_may_evict_locks_is_warned_of_once() {
    const WARNING: &str = "maxmemory-policy noeviction";
    let (log, _listening) = events();
    let server = Server::start().unwrap();
    redis_on(&server).await;
    set(&server, "maxmemory-policy", "allkeys-lru");
    redis_on(&server).await;
    assert_eq!(log.count(WARNING), 0, "no limit, no eviction: {}", log.text());
    set(&server, "maxmemory", "100mb");
    let redis = redis_on(&server).await;
    assert_eq!(log.count(WARNING), 1, "{}", log.text());
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    comes_alive(&redis).await;
    assert_eq!(log.count(WARNING), 1, "once a handle: {}", log.text());
    set(&server, "maxmemory-policy", "noeviction");
    redis_on(&server).await;
    assert_eq!(log.count(WARNING), 1, "{}", log.text());
}
