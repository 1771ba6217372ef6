//! What is sent again may be executed twice: that is counted, and it is harmless.

use super::*;

/// How often a lock script has been executed.
fn executed(cluster: &Cluster) -> u64 {
    cluster.command_calls("evalsha") + cluster.command_calls("eval")
}

#[tokio::test]
async fn a_call_whose_reply_is_cut_off_executes_twice_and_holds_once() {
    let builder = Cluster::builder().primaries(1).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let redis = patient(&cluster).await;
    library().load(&redis).await.unwrap();
    let (locks, cache) = (Leases::new(redis.clone()), Cache::new(redis));
    let proxy = &cluster.proxies()[0];

    proxy.drop_reply_to("EVALSHA");
    let outcome = locks.acquire("lock", LONG).await.unwrap();
    let Acquire::Acquired(token) = outcome else { panic!("{outcome:?}") };
    assert_eq!(executed(&cluster), 2, "the server executed it twice");
    let held = cluster.command(&["GET", "lock"]).unwrap();
    assert!(matches!(locks.acquire("lock", LONG).await, Ok(Acquire::Held { .. })));
    assert_eq!(cluster.command(&["GET", "lock"]).unwrap(), held, "one hold");

    let before = executed(&cluster);
    proxy.drop_reply_to("EVALSHA");
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::NotOurs, "never another's");
    assert_eq!(executed(&cluster), before + 2);
    assert!(cluster.command(&["GET", "lock"]).unwrap().is_nil());

    for key in ["{t}a", "{t}b"] {
        ok(&cluster.command(&["SET", key, "v"]).unwrap());
    }
    let before = executed(&cluster);
    proxy.half_reply_to("EVALSHA");
    assert_eq!(cache.delete_many(&["{t}a", "{t}b"]).await.unwrap(), 0, "the first deleted them");
    assert_eq!(executed(&cluster), before + 2);
    assert_eq!(cluster.command(&["EXISTS", "{t}a", "{t}b"]).unwrap().int(), Some(0));
}

#[tokio::test]
async fn a_call_that_was_cut_off_and_then_refused_may_have_been_executed() {
    let builder = Cluster::builder().primaries(1).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let redis = patient(&cluster).await;
    let (node, proxy) = (&cluster.nodes()[0], &cluster.proxies()[0]);
    proxy.silence_replies();
    let cache = Cache::new(redis);
    let setting = tokio::spawn(async move { cache.set("k", "v", LONG).await });
    until(|| node.command(&["EXISTS", "k"]).unwrap().int() == Some(1)).await;
    ok(&node.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap());
    proxy.pass();
    proxy.cut();
    let error = setting.await.unwrap().unwrap_err();
    assert!(error.may_have_executed() && error.to_string().contains("OOM"), "{error}");
}

/// As on a new primary, which has neither the script nor the replicas that it is to have.
#[tokio::test]
async fn nor_does_a_refusal_of_its_source_prove_that_it_was_not() {
    let builder = Cluster::builder().primaries(1).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let redis = patient(&cluster).await;
    library().load(&redis).await.unwrap();
    let (node, proxy) = (&cluster.nodes()[0], &cluster.proxies()[0]);
    proxy.silence_replies();
    let locks = Leases::new(redis);
    let acquiring = tokio::spawn(async move { locks.acquire("lock", LONG).await });
    until(|| node.command(&["EXISTS", "lock"]).unwrap().int() == Some(1)).await;
    node.flush_scripts().unwrap();
    ok(&node.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap());
    proxy.pass();
    proxy.cut();
    let outcome = acquiring.await.unwrap();
    let Ok(Acquire::Unknown { error, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(error.to_string().contains("NOREPLICAS"), "{error}");
}
