//! The circuit: what opens it, what does not, and that nobody waits for a node that is away.

mod support;

use std::time::{Duration, Instant, SystemTime};

use auth_adapter_redis::circuit::{CircuitState, Circuits};
use auth_adapter_redis::lock::{Acquire, Leases};
use auth_adapter_redis::redis::Client;
use auth_adapter_redis::redis::aio::ConnectionManager;
use auth_adapter_redis::testing::{Cluster, Data, Proxy, Server};
use auth_adapter_redis::{Cache, Error, Redis, ServerErrorKind};
use support::{HANG, LONG, SLACK, assert_server, comes_alive, events, on_lock, quick, set};

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

mod gone {
    use super::*;

    /// No task waits twice, and all calls take one deadline and what failing at once costs.
    async fn all_end_within_one_deadline(redis: &Redis) {
        let first = calls(redis).await;
        assert_ne!(state(redis), CircuitState::Closed);
        assert!(first.waited <= TASKS, "each waits once at the most: {}", first.waited);
        // The cost of failing at once, on this machine and at this time.
        let again = calls(redis).await;
        assert_eq!(again.waited, 0);
        let all = DEADLINE + again.took * 2 + SLACK;
        assert!(first.took < all, "{:?} is more than {all:?}", first.took);
    }

    #[tokio::test]
    async fn ten_thousand_calls_to_a_server_that_was_killed() {
        let server = Server::start().unwrap();
        let redis = handle(server.url()).await;
        server.kill().unwrap();
        all_end_within_one_deadline(&redis).await;
    }

    #[tokio::test]
    async fn ten_thousand_calls_to_a_server_that_stands_still() {
        let server = Server::start().unwrap();
        let redis = handle(server.url()).await;
        server.pause().unwrap();
        all_end_within_one_deadline(&redis).await;
        server.resume().unwrap();
        closes(&redis).await;
        comes_alive(&redis).await;
    }

    #[tokio::test]
    async fn ten_thousand_calls_into_a_black_hole() {
        let server = Server::start().unwrap();
        let proxy = Proxy::to(&server).unwrap();
        let redis = handle(proxy.url()).await;
        proxy.black_hole();
        all_end_within_one_deadline(&redis).await;
        proxy.pass();
        closes(&redis).await;
    }

    #[tokio::test]
    async fn ten_thousand_calls_after_a_cut_while_the_next_connection_hangs() {
        let server = Server::start().unwrap();
        let proxy = Proxy::to(&server).unwrap();
        let redis = handle(proxy.url()).await;
        proxy.black_hole();
        proxy.cut();
        all_end_within_one_deadline(&redis).await;
        proxy.pass();
        closes(&redis).await;
    }

    #[tokio::test]
    async fn ten_thousand_calls_on_a_callers_connections() {
        let server = Server::start().unwrap();
        let client = Client::open(server.url()).unwrap();
        let multiplexed = client.get_multiplexed_async_connection().await.unwrap();
        let manager = ConnectionManager::new(client).await.unwrap();
        server.pause().unwrap();
        for redis in [Redis::from(multiplexed), Redis::from(manager)] {
            let redis = redis.with_call_deadline(DEADLINE).unwrap();
            let first = calls(&redis).await;
            // A call is the probe, one at a time.
            assert!(first.waited <= TASKS + 4, "{}", first.waited);
            assert_ne!(state(&redis), CircuitState::Closed);
        }
        server.resume().unwrap();
    }
}

mod opens {
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
        assert_eq!(
            (log.count("redis is away"), log.count("redis is back")),
            (1, 1),
            "{}",
            log.text()
        );
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
            circuits
                .iter()
                .any(|node| node.why.as_deref().is_some_and(|why| why.contains("LOADING")))
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
            let is_there =
                |key: &String| cluster.primary_of_key(key).unwrap().port() == node.port();
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

    /// However many calls come to the same at once.
    #[tokio::test]
    async fn a_callers_connection_once_for_one_stall() {
        let server = Server::start().unwrap();
        let client = Client::open(server.url()).unwrap();
        let given = client.get_multiplexed_async_connection().await.unwrap();
        let redis = Redis::from(given).with_call_deadline(DEADLINE).unwrap();
        redis.ping().await.unwrap();
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
}

mod stays_closed {
    use super::*;

    /// Calls of this kind leave the circuit as it is: it is closed, and never was anything else.
    async fn after(server: &Server, call: impl AsyncFn(&Redis)) {
        let redis = handle(server.url()).await;
        let mut circuits = redis.circuits();
        circuits.mark_unchanged();
        call(&redis).await;
        assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
        redis.ping().await.unwrap();
    }

    #[tokio::test]
    async fn where_nothing_is_there_or_another_holds_it() {
        let server = Server::start().unwrap();
        after(&server, async |redis| {
            assert_eq!(Cache::new(redis.clone()).get("k").await.unwrap(), None);
            let leases = Leases::new(redis.clone());
            assert!(matches!(leases.acquire("lock", LONG).await, Ok(Acquire::Acquired(_))));
            assert!(matches!(leases.acquire("lock", LONG).await, Ok(Acquire::Held { .. })));
        })
        .await;
    }

    #[tokio::test]
    async fn where_a_script_or_a_type_or_room_is_missing() {
        let server = Server::start().unwrap();
        after(&server, async |redis| {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
            on_lock("lock/peek", redis).run::<auth_adapter_redis::redis::Value>().await.unwrap();
            server.command(&["LPUSH", "list", "x"]).unwrap();
            let cache = Cache::new(redis.clone());
            assert_server(cache.get("list").await, ServerErrorKind::WrongType);
            set(&server, "maxmemory", "1024");
            assert_server(cache.set("k", "v", LONG).await, ServerErrorKind::OutOfMemory);
            assert!(cache.delete("list").await.unwrap(), "deletes still go");
        })
        .await;
    }

    #[tokio::test]
    async fn where_a_caller_goes_away() {
        let server = Server::start().unwrap();
        let proxy = Proxy::to(&server).unwrap();
        let redis = handle(proxy.url()).await;
        let mut circuits = redis.circuits();
        circuits.mark_unchanged();
        proxy.delay(DEADLINE / 4);
        for _ in 0..100 {
            let call = redis.ping();
            tokio::select! {
                biased;
                _ = call => panic!("it cannot be there yet"),
                () = tokio::task::yield_now() => {}
            }
        }
        proxy.pass();
        redis.ping().await.unwrap();
        assert!(!circuits.has_changed().unwrap());
    }

    /// A clone with little patience says little of a server that is slow.
    #[tokio::test]
    async fn where_one_handle_has_less_patience_than_the_others() {
        let server = Server::start().unwrap();
        let proxy = Proxy::to(&server).unwrap();
        let client = Client::open(proxy.url()).unwrap();
        let given = client.get_multiplexed_async_connection().await.unwrap();
        for redis in [Redis::from(given), handle(proxy.url()).await] {
            let hurried = redis.clone().with_call_deadline(Duration::from_millis(1)).unwrap();
            redis.ping().await.unwrap();
            proxy.delay(Duration::from_millis(10));
            let mut circuits = redis.circuits();
            circuits.mark_unchanged();
            for _ in 0..20 {
                hurried.ping().await.unwrap_err();
                redis.ping().await.unwrap();
            }
            assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
            proxy.pass();
        }
    }

    /// And the one that made the handle does not keep the others from a new connection.
    #[tokio::test]
    async fn where_the_first_handle_has_too_little_patience_for_its_server() {
        let server = Server::start().unwrap();
        let proxy = Proxy::to(&server).unwrap();
        proxy.delay(Duration::from_millis(40));
        let builder = quick(proxy.url()).call_deadline(Duration::from_millis(20));
        let patient = builder.build().unwrap().with_call_deadline(LONG).unwrap();
        tokio::time::timeout(HANG, patient.connected()).await.expect("it connects");
        patient.ping().await.unwrap();
    }

    /// A slow answer among others is that call's own misfortune.
    #[tokio::test]
    async fn where_one_call_times_out_and_others_are_answered() {
        let server = Server::start().unwrap();
        let redis = handle(server.url()).await;
        let mut circuits = redis.circuits();
        circuits.mark_unchanged();
        // One that blocks its own connection on the server, and others' calls not.
        let slow = handle(server.url()).await;
        let others = async {
            loop {
                redis.ping().await.unwrap();
            }
        };
        let one = {
            let hurried = redis.clone().with_call_deadline(Duration::from_nanos(1)).unwrap();
            async move {
                for _ in 0..1000 {
                    let _too_late = hurried.ping().await;
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            () = others => {}
            () = one => {}
        }
        assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
        slow.ping().await.unwrap();
    }
}
