//! What is sent again may be executed twice: that is counted, and it is harmless.

use super::*;

/// How often a lock script has been executed.
fn executed(cluster: &Cluster) -> u64 {
    cluster.command_calls("evalsha") + cluster.command_calls("eval")
}

/// Makes a call whose reply is broken, until it was that reply: the handle asks for other things too
/// whenever a connection ends. Which try it was, and what the call gave.
async fn twice<T>(
    cluster: &Cluster,
    redis: &Redis,
    break_next: fn(&Proxy),
    call: impl AsyncFn(usize) -> Result<T, Error>,
) -> (usize, T) {
    for at in 0..50 {
        comes_alive(redis).await;
        let before = executed(cluster);
        break_next(&cluster.proxies()[0]);
        let outcome = call(at).await;
        if executed(cluster) == before + 2 {
            return (at, outcome.expect("the second is answered"));
        }
    }
    panic!("no script was executed twice");
}

#[tokio::test]
async fn a_call_whose_reply_is_cut_off_executes_twice_and_holds_once() {
    let builder = Cluster::builder().primaries(1).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let redis = patient(&cluster).await;
    library().load(&redis).await.unwrap();
    let (locks, cache) = (Locks::new(redis.clone()), Cache::new(redis.clone()));

    let acquire = async |at| locks.acquire(&format!("lock{at}"), LONG).await;
    let (at, outcome) = twice(&cluster, &redis, Proxy::drop_next_reply, acquire).await;
    let Acquire::Acquired(token) = outcome else { panic!("{outcome:?}") };
    let lock = format!("lock{at}");
    comes_alive(&redis).await;
    let held = cluster.command(&["GET", &lock]).unwrap();
    let again = locks.acquire(&lock, LONG).await;
    assert!(matches!(again, Ok(Acquire::Held { .. })), "{again:?}");
    assert_eq!(cluster.command(&["GET", &lock]).unwrap(), held, "one hold");

    let release = async |_| {
        ok(&cluster.command(&[b"SET", lock.as_bytes(), held.bytes().unwrap()]).unwrap());
        locks.release(&lock, &token).await
    };
    let (_, released) = twice(&cluster, &redis, Proxy::drop_next_reply, release).await;
    assert_eq!(released, Release::NotOurs, "the first freed it, and never another's");
    assert!(cluster.command(&["GET", &lock]).unwrap().is_nil());

    let delete = async |_| {
        for key in ["{t}a", "{t}b"] {
            ok(&cluster.command(&["SET", key, "v"]).unwrap());
        }
        cache.delete_many(&["{t}a", "{t}b"]).await
    };
    let (_, deleted) = twice(&cluster, &redis, Proxy::half_next_reply, delete).await;
    assert_eq!(deleted, 0, "the first deleted them");
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
    let locks = Locks::new(redis);
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
