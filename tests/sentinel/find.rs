//! Finding the primary, whatever single Sentinels do or say.

use super::*;

#[tokio::test]
async fn the_url_and_the_builder_lead_to_the_primary() {
    let group = calm();
    let by_url = Redis::connect(&group.url()).await.unwrap();
    assert!(by_url.is_connected() && !by_url.is_cluster());
    let built = Redis::builder().sentinel(addresses(group.sentinels()), group.service());
    let built = built.build().unwrap();
    built.connected().await;
    let primary = group.primary().unwrap();
    for (redis, key) in [(by_url, "a"), (built, "b")] {
        Cache::new(redis.clone()).set(key, "v", LONG).await.unwrap();
        assert_eq!(primary.command(&["GET", key]).unwrap().text(), Some("v"));
        assert!(format!("{redis:?}").contains(group.service()), "{redis:?}");
    }
}

#[tokio::test]
async fn both_protocol_versions_serve() {
    let group = calm();
    for version in ["resp2", "resp3"] {
        let redis = Redis::connect(&format!("{}?protocol={version}", group.url())).await.unwrap();
        assert!(redis.is_connected(), "{version}: {:?}", redis.ping().await);
    }
}

#[tokio::test]
async fn a_dropped_handle_closes_all_its_connections() {
    let group = calm();
    let redis = patient(&group).await;
    let listened_to = || {
        let by_us = |sentinel: &&Server| {
            let clients = sentinel.command(&["CLIENT", "LIST"]).unwrap();
            clients.text().unwrap().contains("cmd=subscribe")
        };
        group.sentinels().iter().filter(by_us).count()
    };
    until(|| listened_to() == 3).await;
    drop(redis);
    until(|| listened_to() == 0).await;
}

#[tokio::test]
async fn sentinels_that_are_gone_or_stand_still_are_done_without() {
    let group = calm();
    group.sentinels()[0].kill().unwrap();
    group.sentinels()[1].pause().unwrap();
    let redis = patient(&group).await;
    redis.ping().await.unwrap();
    group.sentinels()[1].resume().unwrap();
}

#[tokio::test]
async fn without_any_sentinel_calls_fail_at_once_and_it_comes_alive_with_the_first() {
    let group = calm();
    group.sentinels().iter().for_each(|sentinel| sentinel.kill().unwrap());
    let redis = Redis::connect(&group.url()).await.unwrap();
    let why = redis.ping().await.unwrap_err();
    assert!(matches!(why, Error::Unavailable(_)), "{why:?}");
    assert!(why.to_string().contains("no Sentinel tells the primary"), "{why}");
    group.sentinels()[2].restart(Data::Kept).unwrap();
    comes_alive(&redis).await;
}

#[tokio::test]
async fn a_connection_goes_on_without_any_sentinel() {
    let group = calm();
    let redis = patient(&group).await;
    group.sentinels().iter().for_each(|sentinel| sentinel.kill().unwrap());
    for _ in 0..100 {
        redis.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_service_that_nobody_watches_is_told() {
    let group = calm();
    let url = group.url().replace(&format!("/{}", group.service()), "/unknown");
    let why = Redis::connect(&url).await.unwrap().ping().await.unwrap_err().to_string();
    assert!(why.contains("No such master"), "{why}");
}

#[tokio::test]
async fn the_sentinels_and_the_servers_have_logins_of_their_own() {
    let group = SentinelGroup::builder()
        .replicas(1)
        .down_after(LONG * 60)
        .password("data")
        .sentinel_password("names")
        .start()
        .unwrap();
    let hosts = group.url().replace("redis+sentinel://", "redis+sentinel://:data@");
    let url = hosts + "?sentinel_password=names";
    let redis = Redis::connect(&url).await.unwrap();
    redis.ping().await.unwrap();
    let built = Redis::builder()
        .sentinel(addresses(group.sentinels()), group.service())
        .sentinel_password("names")
        .password("data");
    comes_alive(&built.build().unwrap()).await;
    for wrong in [url.replace("=names", "=hunter2"), url.replace(":data@", ":hunter2@")] {
        let redis = Redis::connect(&wrong).await.unwrap();
        let why = redis.ping().await.unwrap_err().to_string();
        assert!(why.contains("WRONGPASS") || why.contains("assword"), "{why}");
        assert!(!why.contains("hunter2") && !format!("{redis:?}").contains("hunter2"), "{why}");
    }
}

/// Sentinels that are behind, or an operator who swapped roles by hand.
#[tokio::test]
async fn a_replica_that_the_sentinels_name_is_not_written_to() {
    let group = calm();
    let primary = group.primary().unwrap();
    let replica = group.servers().iter().find(|server| server.port() != primary.port()).unwrap();
    let swap = |one: &Server, two: &Server| {
        one.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        let port = one.port().to_string();
        two.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    };
    // Sentinels mend roles by themselves: none of them may.
    group.sentinels()[1..].iter().for_each(|sentinel| sentinel.kill().unwrap());
    let redis = patient(&group).await;
    group.sentinels()[0].pause().unwrap();
    swap(replica, primary);
    group.sentinels()[0].resume().unwrap();
    let refused = async {
        loop {
            let why = redis.ping().await.err().map(|error| error.to_string()).unwrap_or_default();
            let outcome = Cache::new(redis.clone()).set("k", "v", LONG).await;
            if why.contains("is no primary") {
                return outcome;
            }
        }
    };
    let outcome = tokio::time::timeout(HANG, refused).await.expect("its role is asked");
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert!(primary.command(&["GET", "k"]).unwrap().is_nil());
    swap(primary, replica);
    comes_alive(&redis).await;
    Cache::new(redis).set("k", "v", LONG).await.unwrap();
    assert_eq!(primary.command(&["GET", "k"]).unwrap().text(), Some("v"));
}

/// It was cut off while the others chose another primary, and answers first or last.
#[tokio::test]
async fn a_sentinel_that_is_behind_is_outvoted_by_a_newer_configuration() {
    let group = SentinelGroup::start().unwrap();
    let last = group.primary().unwrap();
    let (behind, others) = group.sentinels().split_first().unwrap();
    behind.kill().unwrap();
    last.kill().unwrap();
    let now = group.wait_for_primary_other_than(last, HANG).unwrap();
    let quiet = others.iter().all(|sentinel| {
        let rarely = ["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "600000"];
        sentinel.version().0 >= 7 && !sentinel.command(&rarely).unwrap().is_error()
    });
    behind.restart(Data::Kept).unwrap();
    let named = behind.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group.service()]);
    let named = named.unwrap().array().and_then(|words| words[1].text()?.parse().ok());
    // Older ones tell it every two seconds, whatever is asked of them.
    assert!(!quiet || named == Some(last.port()), "{named:?}");
    let mut at_once = 0;
    for _ in 0..20 {
        let redis = Redis::connect(&group.url()).await.unwrap();
        at_once += u32::from(redis.is_connected());
        comes_alive(&redis).await;
        Cache::new(redis).set("k", "v", LONG).await.unwrap();
    }
    // On a busy machine those that know may be slower than what a handle waits for them.
    assert!(at_once > 10, "{at_once} of 20");
    assert_eq!(now.command(&["GET", "k"]).unwrap().text(), Some("v"));
}
