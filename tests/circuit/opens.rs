//! What opens a circuit, and what closes it again.

use super::*;

#[tokio::test]
async fn a_server_that_is_gone_and_closes_when_it_is_back() {
    let (log, _listening) = events();
    let began = SystemTime::now();
    let server = Server::start().unwrap();
    let redis = handle(server.url()).await;
    let closed = redis.circuits().borrow().since().unwrap();
    server.kill().unwrap();
    opens(&redis).await;
    let (since, why) = {
        let circuits = redis.circuits();
        let circuits = circuits.borrow();
        (circuits.since().unwrap(), circuits.iter().next().unwrap().why.clone())
    };
    assert!(began <= closed && closed <= since && since <= SystemTime::now());
    assert!(why.is_some());
    let told = Cache::new(redis.clone()).get("k").await.unwrap_err();
    assert!(matches!(told, Error::Unavailable(_)), "{told:?}");
    // Probes come and go; it is away since the first.
    let mut circuits = redis.circuits();
    for state in [CircuitState::HalfOpen, CircuitState::Open, CircuitState::HalfOpen] {
        let seen = circuits.wait_for(|circuits| circuits.state() == state).await.unwrap();
        assert_eq!(seen.since(), Some(since));
    }
    server.restart(Data::Kept).unwrap();
    closes(&redis).await;
    comes_alive(&redis).await;
    assert!(redis.circuits().borrow().since().unwrap() > since);
    assert_eq!((log.count("redis is away"), log.count("redis is back")), (1, 1), "{}", log.text());
}

#[tokio::test]
async fn a_server_that_loads_is_not_asked_until_it_has() {
    let slow = ["--rdbcompression", "no", "--key-load-delay", "20000"];
    let server = Server::builder().args(slow).wait_until_ready(false).start().unwrap();
    let redis = handle(server.url()).await;
    for key in 0..20 {
        server.command(&["SETRANGE", &key.to_string(), "2200000", "x"]).unwrap();
    }
    assert_eq!(server.command(&["SAVE"]).unwrap().text(), Some("OK"));
    server.restart(Data::Kept).unwrap();
    let loads = |circuits: &Circuits| {
        circuits.iter().any(|node| node.why.as_deref().is_some_and(|why| why.contains("LOADING")))
    };
    changes(&redis, loads).await;
    let told = Cache::new(redis.clone()).get("0").await.unwrap_err();
    assert!(matches!(&told, Error::Unavailable(why) if why.contains("LOADING")), "{told:?}");
    closes(&redis).await;
    assert!(Cache::new(redis).get("0").await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_is_no_primary_any_more_until_there_is_one() {
    let (server, primary) = (Server::start().unwrap(), Server::start().unwrap());
    let redis = handle(server.url()).await;
    let cache = Cache::new(redis.clone());
    let port = primary.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    assert_server(cache.set("k", "v", LONG).await, ServerErrorKind::ReadOnly);
    assert_ne!(state(&redis), CircuitState::Closed);
    assert!(matches!(cache.get("k").await, Err(Error::Unavailable(_))), "stale, it may be");
    let names = |circuits: &Circuits| {
        circuits
            .iter()
            .any(|node| node.why.as_deref().is_some_and(|why| why.contains("no primary")))
    };
    changes(&redis, names).await;
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    closes(&redis).await;
    cache.set("k", "v", LONG).await.unwrap();
}

/// Also where it was a primary for a moment, to which nobody could connect.
#[tokio::test]
async fn a_server_that_is_a_replica_again_before_anyone_was_connected() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = handle(proxy.url()).await;
    let why = |circuits: &Circuits| circuits.iter().find_map(|node| node.why.clone());
    let is_replica = |circuits: &Circuits| why(circuits).is_some_and(|why| why.contains("no prim"));
    let replicate = || server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    replicate();
    let told = Cache::new(redis.clone()).set("k", "v", LONG).await;
    assert_server(told, ServerErrorKind::ReadOnly);
    changes(&redis, is_replica).await;
    proxy.drop_replies_to("INFO");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    changes(&redis, |circuits| !is_replica(circuits)).await;
    replicate();
    proxy.pass();
    changes(&redis, |circuits| circuits.state() == CircuitState::Closed || is_replica(circuits))
        .await;
    assert_ne!(state(&redis), CircuitState::Closed);
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    closes(&redis).await;
}

#[tokio::test]
async fn a_node_whose_cluster_is_down_until_it_is_up() {
    let cluster = Cluster::builder().primaries(1).replicas_each(0).start().unwrap();
    let redis = handle(cluster.url()).await;
    let cache = Cache::new(redis.clone());
    set(&cluster.nodes()[0], "cluster-require-full-coverage", "yes");
    cluster.nodes()[0].command(&["CLUSTER", "DELSLOTS", "0"]).unwrap();
    let told = async {
        loop {
            match cache.set("k", "v", LONG).await {
                Err(Error::Server(error)) => break error.kind,
                outcome => outcome.unwrap(),
            }
        }
    };
    assert_eq!(tokio::time::timeout(HANG, told).await.unwrap(), ServerErrorKind::ClusterDown);
    assert_ne!(state(&redis), CircuitState::Closed);
    assert!(matches!(cache.get("k").await, Err(Error::Unavailable(_))));
    // It answers each PING meanwhile.
    let mut circuits = redis.circuits();
    let since = circuits.borrow().since();
    for state in [CircuitState::HalfOpen, CircuitState::Open].repeat(3) {
        let seen = circuits.wait_for(|circuits| circuits.state() == state);
        let seen = tokio::time::timeout(HANG, seen).await.expect("it stays away").unwrap();
        assert_eq!(seen.since(), since);
    }
    cluster.nodes()[0].command(&["CLUSTER", "ADDSLOTS", "0"]).unwrap();
    closes(&redis).await;
    let back = async { while cache.set("k", "v", LONG).await.is_err() {} };
    tokio::time::timeout(HANG, back).await.unwrap();
}

#[tokio::test]
async fn one_dead_primary_stops_its_own_slots_alone() {
    let cluster = Cluster::builder().primaries(3).replicas_each(0).start().unwrap();
    let redis = handle(cluster.url()).await;
    let cache = Cache::new(redis.clone());
    let key_of = |node: &Server| {
        let mut keys = (0..).map(|at| format!("k{at}"));
        let is_there = |key: &String| cluster.primary_of_key(key).unwrap().port() == node.port();
        keys.find(is_there).unwrap()
    };
    let keys: Vec<_> = cluster.nodes().iter().map(key_of).collect();
    cluster.nodes()[0].pause().unwrap();
    let mut waited = 0;
    for _ in 0..1000 {
        waited += usize::from(super::waited(&cache.get(&keys[0]).await.unwrap_err()));
        cache.get(&keys[1]).await.unwrap();
        cache.get(&keys[2]).await.unwrap();
    }
    assert_eq!(waited, 1, "the first, for the silence");
    let (open, port) = (redis.circuits(), cluster.nodes()[0].port().to_string());
    let away: Vec<_> =
        open.borrow().iter().filter(|at| !at.is_closed()).map(|at| at.node.clone()).collect();
    assert!(matches!(&away[..], [node] if node.ends_with(&port)), "{away:?}");
    assert_eq!(open.borrow().iter().len(), 3);
    cluster.nodes()[0].resume().unwrap();
    closes(&redis).await;
}

/// Whoever may not ask finds out by the next write.
#[tokio::test]
async fn a_server_that_is_a_primary_again_for_a_user_who_may_not_ask_for_its_role() {
    let server = Server::builder().acl("user u on >pw ~* &* +@all -role").start().unwrap();
    let redis = handle(server.url().replace("redis://", "redis://u:pw@")).await;
    let cache = Cache::new(redis.clone());
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    assert_server(cache.set("k", "v", LONG).await, ServerErrorKind::ReadOnly);
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    let back = async { while cache.set("k", "v", LONG).await.is_err() {} };
    tokio::time::timeout(HANG, back).await.expect("it writes again");
}

/// And meanwhile asks no faster than the back-off lets it, however fast its callers are.
#[tokio::test]
async fn a_server_that_is_no_primary_is_not_asked_in_a_hurry_by_whoever_may_not_ask_for_its_role() {
    let server = Server::builder().acl("user u on >pw ~* &* +@all -role").start().unwrap();
    let url = server.url().replace("redis://", "redis://u:pw@");
    let redis = Redis::builder().url(url).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    let (log, _listening) = events();
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let cache = Cache::new(redis);
    let began = Instant::now();
    let mut refusals = 0;
    while began.elapsed() < Duration::from_secs(1) {
        refusals += usize::from(matches!(cache.set("k", "v", LONG).await, Err(Error::Server(_))));
        tokio::task::yield_now().await;
    }
    // Waits that double from half of 50 ms: the sixth ends after a second at the earliest.
    assert!((2..=7).contains(&refusals), "{refusals}");
    assert_eq!(log.count("ROLE was refused"), 1, "{}", log.text());
}

/// On a connection of the caller's that has answered.
async fn given(server: &Server) -> Redis {
    let client = Client::open(server.url()).unwrap();
    let given = client.get_multiplexed_async_connection().await.unwrap();
    let redis = Redis::from(given).with_call_deadline(DEADLINE).unwrap();
    redis.ping().await.unwrap();
    redis
}

/// However many calls come to the same at once.
#[tokio::test]
async fn a_callers_connection_once_for_one_stall() {
    let server = Server::start().unwrap();
    let redis = given(&server).await;
    server.pause().unwrap();
    let mut stalled = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let redis = redis.clone();
        stalled.spawn(async move { redis.ping().await.unwrap_err() });
    }
    stalled.join_all().await;
    server.resume().unwrap();
    let began = Instant::now();
    comes_alive(&redis).await;
    // As after one failure: 64 of them would be two seconds.
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
}

/// One that stays silent is asked less and less often.
#[tokio::test]
async fn a_callers_connection_for_longer_and_longer() {
    let server = Server::start().unwrap();
    let redis = given(&server).await;
    server.pause().unwrap();
    let (began, mut probes) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        probes += usize::from(waited(&redis.ping().await.unwrap_err()));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // One in 0.3 s would be ten of them.
    assert!((3..=7).contains(&probes), "{probes}");
    server.resume().unwrap();
    comes_alive(&redis).await;
}

#[tokio::test]
async fn a_callers_connection_by_a_call_as_probe() {
    let server = Server::start().unwrap();
    let client = Client::open(server.url()).unwrap();
    let redis = Redis::from(ConnectionManager::new(client).await.unwrap());
    let redis = redis.with_call_deadline(DEADLINE).unwrap();
    server.kill().unwrap();
    while redis.ping().await.is_ok() {}
    assert_ne!(state(&redis), CircuitState::Closed);
    let told = redis.ping().await.unwrap_err();
    assert!(matches!(told, Error::Unavailable(_)), "{told:?}");
    server.restart(Data::Kept).unwrap();
    comes_alive(&redis).await;
    assert_eq!(state(&redis), CircuitState::Closed);
}
