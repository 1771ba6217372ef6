//! A primary that is gone, or stands still, and those that are not.

use std::cell::Cell;

use super::*;

/// What the other slots see meanwhile: a call at a time, each answered, and none slow.
async fn others_answer(cache: &Cache, keys: &[String], during: impl Future<Output = ()>) {
    let ended = Cell::new(false);
    let answer = async {
        let mut slowest = Duration::ZERO;
        let mut rounds = 0;
        while !ended.get() || rounds < 50 {
            for key in keys {
                let began = Instant::now();
                cache.set(key, "v", LONG).await.unwrap();
                slowest = slowest.max(began.elapsed());
            }
            rounds += 1;
        }
        slowest
    };
    let during = async {
        during.await;
        ended.set(true);
    };
    let (slowest, ()) = tokio::join!(answer, during);
    assert!(slowest < DEADLINE, "{slowest:?}");
}

#[tokio::test]
async fn a_dead_primary_stops_the_calls_of_its_own_slots_alone() {
    let (cluster, redis) = primaries(3).await;
    let cache = Cache::new(redis.clone());
    let keys: Vec<_> = cluster.nodes().iter().map(|node| key_on(&cluster, node)).collect();
    cluster.nodes()[0].kill().unwrap();
    others_answer(&cache, &keys[1..], async {
        let gone =
            async { while !matches!(cache.get(&keys[0]).await, Err(Error::Unavailable(_))) {} };
        tokio::time::timeout(HANG, gone).await.unwrap();
        let began = Instant::now();
        for _ in 0..1000 {
            assert!(cache.get(&keys[0]).await.is_err());
        }
        assert!(began.elapsed() < LONG / 10, "at once: {:?}", began.elapsed());
    })
    .await;
    assert!(!redis.is_connected());
    let outcome = cache.delete_many_by_slot(&keys).await;
    let Err(Error::Partial { deleted: 2, failed }) = &outcome else { panic!("{outcome:?}") };
    let [failure] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((failure.slot, &*failure.keys[0]), (slot(keys[0].as_bytes()), &*keys[0]));
    let shown = outcome.unwrap_err();
    assert!(shown.is_node_fault(), "{shown}");
    assert!(shown.to_string().contains(&format!("slot {}", slot(keys[0].as_bytes()))), "{shown}");

    let adapter = RedisCacheAdapter::new(redis);
    assert!(!adapter.is_available().await, "a third of all keys is away");
}

#[tokio::test]
async fn a_dead_primary_is_one_event_however_the_limits_of_its_slots_and_of_others_alternate() {
    let (log, _listening) = support::events();
    let (cluster, redis) = primaries(2).await;
    let keys: Vec<_> = cluster.nodes().iter().map(|node| key_on(&cluster, node)).collect();
    let limiter = FallbackRateLimiter::new(RateLimiter::new(redis.clone()));
    let quota = Quota::per_second(1000);
    cluster.nodes()[0].kill().unwrap();
    until(|| !redis.is_connected()).await;
    for _ in 0..50 {
        let decision = limiter.check(&keys[0], &quota, 1).await.unwrap();
        assert!(matches!(decision, Decision::InProcess { .. }), "{decision:?}");
        let decision = limiter.check(&keys[1], &quota, 1).await.unwrap();
        assert!(matches!(decision, Decision::Redis(_)), "{decision:?}");
    }
    assert_eq!((log.count("redis is away"), log.count("redis is back")), (1, 0), "{}", log.text());
}

#[tokio::test]
async fn a_primary_that_stands_still_stops_the_calls_of_its_own_slots_alone() {
    let (cluster, redis) = primaries(3).await;
    let redis = redis.with_call_deadline(DEADLINE).unwrap();
    let cache = Cache::new(redis);
    let keys: Vec<_> = cluster.nodes().iter().map(|node| key_on(&cluster, node)).collect();
    cluster.nodes()[0].pause().unwrap();
    others_answer(&cache, &keys[1..], async {
        for _ in 0..10 {
            let began = Instant::now();
            assert!(cache.get(&keys[0]).await.is_err());
            assert!(began.elapsed() < DEADLINE + SLACK, "{:?}", began.elapsed());
        }
    })
    .await;
    cluster.nodes()[0].resume().unwrap();
    let back = async { while cache.get(&keys[0]).await.is_err() {} };
    tokio::time::timeout(HANG, back).await.expect("it is back");
}

#[tokio::test]
async fn a_replica_that_takes_over_is_found_and_given_the_scripts() {
    let cluster = Cluster::start().unwrap();
    let redis = patient(&cluster).await;
    let locks = Leases::new(redis.clone());
    let last = cluster.primary_of_key("lock").unwrap();
    let Acquire::Acquired(token) = locks.acquire("lock", LONG).await.unwrap() else {
        panic!("it is free")
    };
    // Asynchronous replication: the promise of this test is about the handle.
    until(|| {
        cluster
            .replicas_of(last)
            .unwrap()
            .iter()
            .all(|replica| replica.command(&["DBSIZE"]).unwrap().int() == Some(1))
    })
    .await;
    last.kill().unwrap();
    let held = async {
        loop {
            match locks.acquire("lock", LONG).await {
                Ok(Acquire::Held { .. }) => return,
                // Nothing was sent, or the connection was cut under it.
                Ok(Acquire::Unknown { .. }) | Err(Error::Unavailable(_)) => {}
                outcome => panic!("{outcome:?}"),
            }
        }
    };
    tokio::time::timeout(HANG, held).await.expect("the replica takes over");
    let now = cluster.primary_of_key("lock").unwrap();
    assert_ne!(now.port(), last.port());
    assert_eq!(now.command_calls("eval"), 1, "it had no script");
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    comes_alive(&redis).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_is_no_error_and_is_waited_for() {
    let (cluster, _) = primaries(1).await;
    let node = &cluster.nodes()[0];
    node.kill().unwrap();
    let redis = Redis::connect(&cluster.url()).await.unwrap();
    let outcome = redis.ping().await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    node.restart(auth_adapter_redis::testing::Data::Kept).unwrap();
    comes_alive(&redis).await;
    let back = async { while Cache::new(redis.clone()).get("k").await.is_err() {} };
    tokio::time::timeout(HANG, back).await.expect("it serves again");
}

#[tokio::test]
async fn a_primary_that_stands_still_is_noticed_by_pings_alone() {
    let (cluster, redis) = primaries(2).await;
    let redis = redis.with_call_deadline(DEADLINE).unwrap();
    cluster.nodes()[0].pause().unwrap();
    let began = Instant::now();
    let outcome = redis.ping().await;
    assert!(matches!(outcome, Err(Error::Unanswered { .. })), "{outcome:?}");
    assert!(began.elapsed() < DEADLINE + SLACK, "{:?}", began.elapsed());
    let noticed = async {
        while redis.is_connected() {
            let _away = redis.ping().await;
        }
    };
    tokio::time::timeout(HANG, noticed).await.expect("its connection is given up");
    cluster.nodes()[0].resume().unwrap();
    comes_alive(&redis).await;
}

/// A call on a runtime of its own may be the first to hear of a node, and ends with it.
#[test]
fn a_node_that_a_call_of_a_short_runtime_heard_of_first_stays() {
    use tokio::runtime::Builder;

    let main = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cluster = Cluster::builder().primaries(1).replicas_each(1).start().unwrap();
    let redis = main.block_on(patient(&cluster));
    let cache = Cache::new(redis.clone());
    let last = cluster.primary_of_key("k").unwrap();
    cluster.replicas_of(last).unwrap()[0].command(&["CLUSTER", "FAILOVER"]).unwrap();
    let began = Instant::now();
    while cluster.primary_of_key("k").unwrap().port() == last.port() {
        assert!(began.elapsed() < HANG, "the replica takes over");
    }
    let short = Builder::new_current_thread().enable_all().build().unwrap();
    short.block_on(cache.set("k", "v", LONG)).unwrap();
    drop(short);
    main.block_on(async {
        let back = async { while cache.set("k", "v", LONG).await.is_err() {} };
        tokio::time::timeout(HANG, back).await.expect("it is connected to");
        comes_alive(&redis).await;
    });
}

/// A cluster of which no node is found is away as well.
#[tokio::test]
async fn a_cluster_that_is_not_found_has_an_open_circuit_until_it_is() {
    let (cluster, _) = primaries(1).await;
    let node = &cluster.nodes()[0];
    node.kill().unwrap();
    let redis = Redis::connect(&cluster.url()).await.unwrap();
    assert_eq!(redis.circuits().borrow().iter().len(), 1);
    assert!(!RedisCacheAdapter::new(redis.clone()).health().is_reachable());
    node.restart(auth_adapter_redis::testing::Data::Kept).unwrap();
    comes_alive(&redis).await;
    let circuits = redis.circuits();
    assert!(circuits.borrow().iter().all(|at| at.is_closed() && !at.node.contains("cluster")));
}

#[tokio::test]
async fn seeds_that_hang_keep_nobody_from_the_cluster() {
    let cluster = Cluster::builder().primaries(3).replicas_each(0).start().unwrap();
    let [first, second, third] = cluster.nodes() else { panic!("three") };
    let key = key_on(&cluster, third);
    first.pause().unwrap();
    second.pause().unwrap();
    let [one, two, three] = [first, second, third].map(Server::addr);
    let builder = Redis::builder().url(format!("redis+cluster://{one},{two},{three}"));
    let redis = builder.connect_timeout(LONG).call_deadline(LONG).build().unwrap();
    let found = tokio::time::timeout(HANG, Cache::new(redis).get(&key)).await;
    assert_eq!(found.expect("the third tells of the slots").unwrap(), None);
    first.resume().unwrap();
    second.resume().unwrap();
}
