//! What leaves a circuit closed.

use super::*;
use auth_adapter_redis::redis::AsyncConnectionConfig;

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

/// A slow answer among others is that call's own misfortune, however long it waited.
#[tokio::test]
async fn where_one_call_times_out_and_others_are_answered() {
    /// Every answer takes so long, which is less than a `PING` may.
    const DELAY: Duration = Duration::from_millis(700);
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let client = Client::open(proxy.url()).unwrap();
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let given = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let kept = quick(proxy.url()).call_deadline(DELAY * 3 / 2).build().unwrap();
    kept.connected().await;
    for redis in [Redis::from(given), kept] {
        redis.ping().await.unwrap();
        proxy.delay(DELAY);
        let mut circuits = redis.circuits();
        circuits.mark_unchanged();
        let patient = redis.clone().with_call_deadline(LONG).unwrap();
        let others = async {
            let mut others = tokio::task::JoinSet::new();
            loop {
                let patient = patient.clone();
                others.spawn(async move { patient.ping().await.unwrap() });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let late = async {
            // Answers come from now on.
            patient.ping().await.unwrap();
            // So long that it would open the circuit by itself.
            let late = redis.clone().with_call_deadline(DELAY - DELAY / 10).unwrap();
            late.ping().await.unwrap_err();
            patient.ping().await.unwrap();
        };
        tokio::select! {
            () = others => {}
            () = late => {}
        }
        assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
        proxy.pass();
    }
}

/// Its answers are there, and nobody has looked.
#[tokio::test]
async fn where_the_own_process_stands_still() {
    let server = Server::start().unwrap();
    let client = Client::open(server.url()).unwrap();
    let given = client.get_multiplexed_async_connection().await.unwrap();
    let given = Redis::from(given).with_call_deadline(DEADLINE).unwrap();
    for redis in [given, handle(server.url()).await] {
        redis.ping().await.unwrap();
        let mut circuits = redis.circuits();
        circuits.mark_unchanged();
        let stands_still = async || {
            let mut calls = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let redis = redis.clone();
                calls.spawn(async move { redis.ping().await });
            }
            // In the one thread of this runtime, once they are on their way.
            tokio::spawn(async { std::thread::sleep(DEADLINE * 2) });
            let outcomes = calls.join_all().await;
            redis.ping().await.unwrap();
            assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
            outcomes.iter().any(Result::is_err)
        };
        // Mostly at once: what is seen first afterwards, an answer or the time, is for the runtime.
        let is_noticed = async { while !stands_still().await {} };
        tokio::time::timeout(HANG, is_noticed).await.expect("a call that its time ran out for");
    }
}

/// A node that serves other slots.
#[tokio::test]
async fn where_nobody_serves_the_slot_of_a_call() {
    let cluster = Cluster::builder().primaries(1).replicas_each(0).start().unwrap();
    let redis = handle(cluster.url()).await;
    let mut circuits = redis.circuits();
    circuits.mark_unchanged();
    let node = &cluster.nodes()[0];
    set(node, "cluster-require-full-coverage", "no");
    let unserved = auth_adapter_redis::key::slot(b"k").to_string();
    node.command(&["CLUSTER", "DELSLOTS", &unserved]).unwrap();
    assert_server(Cache::new(redis.clone()).get("k").await, ServerErrorKind::ClusterDown);
    assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
    Cache::new(redis).get("other").await.unwrap();
}
