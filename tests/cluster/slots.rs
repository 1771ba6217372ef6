//! Keys and the primaries that serve them.

use super::*;

#[tokio::test]
async fn each_key_goes_to_its_primary_at_once() {
    let (cluster, redis) = primaries(3).await;
    assert!(redis.is_cluster() && redis.is_connected());
    let cache = Cache::new(redis.clone());
    for at in 0..300 {
        cache.set(&format!("k{at}"), "v", LONG).await.unwrap();
    }
    let sets: Vec<_> = cluster.nodes().iter().map(|node| node.command_calls("set")).collect();
    assert_eq!(sets.iter().sum::<u64>(), 300, "none was redirected: {sets:?}");
    assert!(sets.iter().all(|&sets| sets > 50), "{sets:?}");
    for at in 0..300 {
        assert!(cache.delete(&format!("k{at}")).await.unwrap());
    }
}

#[tokio::test]
async fn the_others_are_found_from_one_node() {
    let (cluster, _) = primaries(3).await;
    let one = format!("redis+cluster://{}", cluster.nodes()[1].addr());
    let redis = Redis::connect(&one).await.unwrap();
    assert!(redis.is_connected());
    let built = Redis::builder().cluster([cluster.nodes()[2].addr().to_string()]).build().unwrap();
    built.connected().await;
    for redis in [redis, built] {
        let cache = Cache::new(redis);
        for node in cluster.nodes() {
            cache.set(&key_on(&cluster, node), "v", LONG).await.unwrap();
        }
    }
}

#[tokio::test]
async fn every_primary_is_pinged() {
    let (cluster, redis) = primaries(3).await;
    let before: Vec<_> = cluster.nodes().iter().map(|node| node.command_calls("ping")).collect();
    redis.ping().await.unwrap();
    for (node, before) in cluster.nodes().iter().zip(before) {
        assert_eq!(node.command_calls("ping"), before + 1);
    }
    assert!(RedisCacheAdapter::new(redis).is_available().await);
}

#[tokio::test]
async fn every_script_is_loaded_on_every_primary() {
    let (cluster, redis) = primaries(3).await;
    library().load(&redis).await.unwrap();
    for node in cluster.nodes() {
        for script in library().iter() {
            let there = node.command(&["SCRIPT", "EXISTS", script.sha()]).unwrap();
            assert_eq!(there, Reply::Array(vec![Reply::Int(1)]), "{}", script.name());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_storm_sends_each_primary_its_source_once_or_little_more() {
    let (cluster, redis) = primaries(3).await;
    let mut storm = tokio::task::JoinSet::new();
    for at in 0..1024 {
        let locks = Leases::new(redis.clone());
        storm.spawn(async move { locks.acquire(&format!("lock{at}"), LONG).await });
    }
    for outcome in storm.join_all().await {
        assert!(matches!(outcome, Ok(Acquire::Acquired(_))), "{outcome:?}");
    }
    for node in cluster.nodes() {
        let sources = node.command_calls("eval");
        assert!((1..=4).contains(&sources), "{sources}");
    }
}

#[tokio::test]
async fn keys_of_several_slots_are_refused_before_anything_is_sent() {
    let (cluster, redis) = primaries(1).await;
    assert_ne!(slot(b"app:a"), slot(b"app:b"));
    let cache = Cache::new(redis.with_prefix("app:").unwrap());
    let error = cache.delete_many(&["a", "b"]).await.unwrap_err();
    let Error::CrossSlot { first, second } = &error else { panic!("{error:?}") };
    assert_eq!((&**first, &**second), ("app:a", "app:b"));
    assert!(error.to_string().contains("hash tag"), "{error}");
    assert_eq!(cluster.command_calls("evalsha") + cluster.command_calls("eval"), 0);
    for key in ["{t}a", "{t}b"] {
        cache.set(key, "v", LONG).await.unwrap();
    }
    assert_eq!(cache.delete_many(&["{t}a", "{t}b", "{t}c"]).await.unwrap(), 2);
}

#[tokio::test]
async fn keys_of_any_slots_are_deleted_by_a_script_a_slot() {
    let (cluster, redis) = primaries(3).await;
    let cache = Cache::new(redis.clone());
    let keys: Vec<_> = (0..500).map(|at| format!("k{at}")).collect();
    let size = || -> i64 {
        let sizes = cluster.nodes().iter().map(|node| node.command(&["DBSIZE"]).unwrap().int());
        sizes.map(Option::unwrap).sum()
    };
    for round in 0..2 {
        for key in &keys {
            cache.set(key, "v", LONG).await.unwrap();
        }
        assert_eq!(size(), 500);
        if round == 0 {
            assert_eq!(cache.delete_many_by_slot(&keys).await.unwrap(), 500);
        } else {
            let adapter = RedisCacheAdapter::new(redis.clone());
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            adapter.delete_many(&keys).await;
            assert_eq!(adapter.health().swallowed.total(), 0);
        }
        assert_eq!(size(), 0);
    }
    let twice = ["k1", "k1", "k2"];
    cache.set("k1", "v", LONG).await.unwrap();
    assert_eq!(cache.delete_many_by_slot(&twice).await.unwrap(), 1);
    assert_eq!(cache.delete_many_by_slot::<&str>(&[]).await.unwrap(), 0);
    let bad = cache.delete_many_by_slot(&["k", ""]).await;
    assert!(matches!(bad, Err(Error::InvalidInput { .. })), "{bad:?}");
}

#[tokio::test]
async fn a_server_that_is_no_cluster_says_so() {
    let server = Server::start().unwrap();
    let redis = Redis::connect(&server.url().replace("redis:", "redis+cluster:")).await.unwrap();
    let why = redis.ping().await.unwrap_err().to_string();
    assert!(why.contains("cluster support disabled"), "{why}");
    assert_eq!(why.lines().count(), 1);
}

#[tokio::test]
async fn a_plain_handle_on_a_cluster_says_where_the_key_is() {
    let (cluster, _) = primaries(3).await;
    let redis = Redis::connect(&cluster.nodes()[0].url()).await.unwrap();
    let key = key_on(&cluster, &cluster.nodes()[1]);
    support::assert_server(Cache::new(redis).get(&key).await, ServerErrorKind::Moved);
}

#[tokio::test]
async fn a_dropped_handle_closes_all_its_connections() {
    let (cluster, redis) = primaries(3).await;
    let clients = || -> Vec<_> {
        let of = |node: &Server| node.info_field("clients", "connected_clients").unwrap();
        cluster.nodes().iter().map(of).collect()
    };
    let clone = redis.clone();
    drop(redis);
    clone.ping().await.unwrap();
    // One each, and the one that asks.
    until(|| clients() == ["2"; 3]).await;
    drop(clone);
    until(|| clients() == ["1"; 3]).await;
}
