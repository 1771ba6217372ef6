//! Slots that move: a call is refused by one node and goes on to the next.

use super::*;

/// Two keys of one slot, and that slot.
const PAIR: [&str; 2] = ["{t}a", "{t}b"];

fn other<'a>(cluster: &'a Cluster, than: &Server) -> &'a Server {
    cluster.nodes().iter().find(|node| node.port() != than.port()).unwrap()
}

#[tokio::test]
async fn a_slot_that_has_moved_is_followed_and_remembered() {
    let (cluster, redis) = primaries(2).await;
    let cache = Cache::new(redis);
    cache.set("{t}a", "v", LONG).await.unwrap();
    let to = other(&cluster, cluster.primary_of_key("t").unwrap());
    cluster.move_slot(slot(b"t"), to).unwrap();
    assert_eq!(cache.get("{t}a").await.unwrap().as_deref(), Some("v"));
    let gets = || -> u64 { cluster.nodes().iter().map(|node| node.command_calls("get")).sum() };
    let before = gets();
    for _ in 0..10 {
        assert!(cache.get("{t}a").await.unwrap().is_some());
    }
    assert_eq!(gets(), before + 10, "none goes round by the last owner");
}

#[tokio::test]
async fn while_a_slot_moves_single_keys_are_found_on_either_side() {
    let (cluster, redis) = primaries(2).await;
    let cache = Cache::new(redis.clone());
    let locks = Leases::new(redis);
    for key in PAIR {
        cache.set(key, "v", LONG).await.unwrap();
    }
    let to = other(&cluster, cluster.primary_of_key("t").unwrap());
    let half = cluster.begin_move(slot(b"t"), to).unwrap();
    assert_eq!(half.move_keys(1).unwrap(), 1);
    for key in PAIR {
        assert_eq!(cache.get(key).await.unwrap().as_deref(), Some("v"), "{key}");
    }
    // One that is on neither side yet, by a script that the other side has not seen.
    let Acquire::Acquired(token) = locks.acquire("{t}lock", LONG).await.unwrap() else {
        panic!("it is free")
    };
    assert_eq!(to.command(&["ASKING"]).unwrap().text(), Some("OK"));
    assert!(matches!(locks.acquire("{t}lock", LONG).await, Ok(Acquire::Held { .. })));
    assert_eq!(locks.release("{t}lock", &token).await.unwrap(), Release::Freed);
    half.finish().unwrap();
    for key in PAIR {
        assert_eq!(cache.get(key).await.unwrap().as_deref(), Some("v"), "{key}");
    }
}

#[tokio::test]
async fn a_call_on_keys_of_both_sides_waits_until_they_are_together() {
    let (cluster, redis) = primaries(2).await;
    let cache = Cache::new(redis);
    for key in PAIR {
        cache.set(key, "v", LONG).await.unwrap();
    }
    let to = other(&cluster, cluster.primary_of_key("t").unwrap());
    let half = cluster.begin_move(slot(b"t"), to).unwrap();
    half.move_keys(1).unwrap();
    let deleting = tokio::spawn(async move { cache.delete_many(&PAIR).await });
    let refused = |node: &Server| {
        let errors = node.info_field("errorstats", "errorstat_TRYAGAIN");
        errors.is_some_and(|count| count != "count=0")
    };
    until(|| refused(half.from()) || refused(half.to())).await;
    half.finish().unwrap();
    assert_eq!(deleting.await.unwrap().unwrap(), 2);
    for node in cluster.nodes() {
        assert_eq!(node.command(&["DBSIZE"]).unwrap().int(), Some(0));
    }
}

#[tokio::test]
async fn one_that_waits_past_its_deadline_says_why_and_changes_nothing() {
    let (cluster, redis) = primaries(2).await;
    let cache = Cache::new(redis.clone().with_call_deadline(DEADLINE).unwrap());
    for key in PAIR {
        cache.set(key, "v", LONG).await.unwrap();
    }
    let to = other(&cluster, cluster.primary_of_key("t").unwrap());
    let half = cluster.begin_move(slot(b"t"), to).unwrap();
    half.move_keys(1).unwrap();
    let began = Instant::now();
    let outcome = cache.delete_many(&PAIR).await;
    assert!(began.elapsed() < DEADLINE + SLACK, "{:?}", began.elapsed());
    support::assert_server(outcome, ServerErrorKind::TryAgain);
    let partial = cache.delete_many_by_slot(&["{t}a", "{t}b", "elsewhere"]).await;
    let Err(Error::Partial { deleted: 0, failed }) = &partial else { panic!("{partial:?}") };
    let [failure] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((failure.slot, &failure.keys[..]), (slot(b"t"), &PAIR.map(String::from)[..]));
    assert_eq!(failure.error.server_kind(), Some(ServerErrorKind::TryAgain));
    assert!(!partial.unwrap_err().may_have_executed(), "each attempt was refused");
    let there = cluster.nodes().iter().map(|node| node.command(&["DBSIZE"]).unwrap().int());
    assert_eq!(there.map(Option::unwrap).sum::<i64>(), 2);
    // Not a fault of a node, so the adapter calls Redis reachable.
    let adapter = RedisCacheAdapter::new(redis.with_call_deadline(DEADLINE).unwrap());
    adapter.delete_many(&PAIR).await;
    let health = adapter.health();
    assert_eq!((health.is_reachable(), health.swallowed.delete_many), (true, 1));
    assert_eq!(health.deletes_pending, 2);
    // Each alone is deleted where it is, though both in one call are refused for as long as it takes.
    until(|| adapter.health().deletes_pending == 0).await;
    half.finish().unwrap();
    assert_eq!(cache.delete_many(&PAIR).await.unwrap(), 0);
}

/// The old owner sends on with `ASK` and knows nothing of a reason: the new one does.
#[tokio::test]
async fn one_that_is_sent_to_and_fro_past_its_deadline_says_why() {
    let (cluster, redis) = primaries(2).await;
    let cache = Cache::new(redis.with_call_deadline(DEADLINE).unwrap());
    cache.set("{t}a", "v", LONG).await.unwrap();
    let to = other(&cluster, cluster.primary_of_key("t").unwrap());
    let half = cluster.begin_move(slot(b"t"), to).unwrap();
    half.move_keys(1).unwrap();
    for _ in 0..10 {
        support::assert_server(cache.delete_many(&PAIR).await, ServerErrorKind::TryAgain);
    }
    half.finish().unwrap();
    assert_eq!(cache.delete_many(&PAIR).await.unwrap(), 1);
}

#[tokio::test]
async fn a_node_that_has_given_its_last_slot_back_is_let_go() {
    let (cluster, redis) = primaries(3).await;
    let cache = Cache::new(redis.clone());
    let (first, last) = (&cluster.nodes()[0], &cluster.nodes()[2]);
    let owned = 10922..16384;
    let owned: Vec<_> = owned.map(|at: u16| at.to_string()).collect();
    let all = |verb| [vec!["CLUSTER", verb], owned.iter().map(String::as_str).collect()].concat();
    ok(&last.command(&all("DELSLOTS")).unwrap());
    ok(&first.command(&all("DELSLOTS")).unwrap());
    ok(&first.command(&all("ADDSLOTS")).unwrap());
    first.command(&["CLUSTER", "BUMPEPOCH"]).unwrap();
    cluster.wait_until_settled(HANG).unwrap();
    let key = (0..).map(|at| format!("k{at}"));
    let mut key = key.filter(|key| owned.contains(&slot(key.as_bytes()).to_string()));
    cache.set(&key.next().unwrap(), "v", LONG).await.unwrap();
    last.kill().unwrap();
    let answer = async { while redis.ping().await.is_err() {} };
    tokio::time::timeout(HANG, answer).await.expect("the two that are left answer");
    assert!(redis.is_connected());
}

/// The first that misses a script brings it for all, unless its own slot does not let it.
#[tokio::test]
async fn one_that_waits_for_its_slot_does_not_keep_a_script_from_the_others() {
    let builder = Cluster::builder().primaries(2).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let redis = patient(&cluster).await.with_call_deadline(Duration::from_secs(4)).unwrap();
    let cache = Cache::new(redis);
    let from = cluster.primary_of_key("t").unwrap();
    let key = key_on(&cluster, from);
    for key in [PAIR[0], PAIR[1], &key] {
        cache.set(key, "v", LONG).await.unwrap();
    }
    cluster.proxies().iter().for_each(|proxy| proxy.delay(Duration::from_millis(200)));
    let others = cache.clone();
    let waiting = tokio::spawn(async move { cache.delete_many(&PAIR).await });
    // It hears of that only later, and finds its keys apart then.
    until(|| from.info_field("errorstats", "errorstat_NOSCRIPT").is_some()).await;
    let half = cluster.begin_move(slot(b"t"), other(&cluster, from)).unwrap();
    half.move_keys(1).unwrap();
    assert_eq!(others.delete_many(&[key]).await.unwrap(), 1);
    assert!(!waiting.is_finished());
    assert!(waiting.await.unwrap().is_err(), "its keys are apart to the end");
    half.finish().unwrap();
}
