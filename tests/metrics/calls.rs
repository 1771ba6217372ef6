//! Calls: how often, how long, and what they came to.

use std::collections::BTreeMap;

use auth_adapter_redis::lock::Leases;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::{Cluster, Proxy};
use auth_adapter_redis::{Cache, Error};

use super::support::script;
use super::*;

#[tokio::test]
async fn each_call_is_counted_once_with_nothing_of_what_it_was_given() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let (expected, tokens) = every_operation::all(&on(&server).await, &server).await;
    let seen = watch.seen();
    let labels =
        |(operation, count): (&&str, &u64)| (format!("operation={operation},outcome=ok"), *count);
    let counted: BTreeMap<_, _> = expected.iter().map(labels).collect();
    let told = seen.counts("calls_total").into_iter().map(|(key, count)| (key.to_owned(), count));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), counted);
    let took = seen.times("call_seconds");
    for (operation, count) in &expected {
        let (times, least, most) = took[&*format!("operation={operation}")];
        assert_eq!(times as u64, *count, "{operation}");
        assert!(least > 0.0 && most < HANG.as_secs_f64(), "{operation}: {least} to {most}");
    }
    let loads = seen.counts("script_loads_total");
    assert_eq!(loads.len(), library().iter().len(), "of an empty server each once: {loads:?}");
    assert!(loads.values().all(|&count| count == 1), "{loads:?}");
    for script in library().iter() {
        assert!(expected.contains_key(script.name()), "say above how often {}", script.name());
    }
    let text = format!("{seen:?}");
    for token in tokens {
        assert!(!text.contains(&token), "{token} in {text}");
    }
}

#[tokio::test]
async fn what_a_call_came_to_is_one_of_six_words() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let proxy = Proxy::to(&server).unwrap();
    let redis = connected(private(proxy.url()).call_deadline(Duration::from_secs(1))).await;
    let (cache, leases) = (Cache::new(redis.clone()), Leases::new(redis.clone()));
    server.command(&["LPUSH", "private:private-list", "x"]).unwrap();
    cache.get("private-list").await.unwrap_err();
    cache.set("", "no call is made of it", LONG).await.unwrap_err();
    let told = script("lock/peek").call(&redis).key("lock", "private-key").run::<i64>().await;
    assert!(matches!(told, Err(Error::Reply { .. })), "{told:?}");
    leases.peek("private-list").await.unwrap_err();
    leases.peek("private-key").await.unwrap();
    tokio::select! {
        biased;
        told = leases.peek("private-key") => panic!("{told:?}"),
        () = std::future::ready(()) => {}
    }
    proxy.drop_reply_to("\r\nSET\r\n");
    cache.set("private-key", "private-value", LONG).await.unwrap();
    assert_eq!(server.command_calls("set"), 2, "it was sent again");
    proxy.drop_replies_to("\r\nDEL\r\n");
    let lost = cache.delete("private-key").await.unwrap_err();
    assert!(matches!(lost, Error::Unanswered { .. }), "{lost}");
    let counts = BTreeMap::from([
        ("operation=DEL,outcome=unanswered", 1),
        ("operation=GET,outcome=refused", 1),
        ("operation=SET,outcome=ok", 1),
        ("operation=lock/peek,outcome=cancelled", 1),
        ("operation=lock/peek,outcome=ok", 1),
        ("operation=lock/peek,outcome=refused", 1),
        ("operation=lock/peek,outcome=rejected", 1),
    ]);
    assert_eq!(watch.seen().counts("calls_total"), counts);
    proxy.refuse();
    proxy.cut();
    while !matches!(redis.ping().await, Err(Error::Unavailable(_))) {}
    watch.seen();
    let away = leases.peek("private-key").await.unwrap_err();
    assert!(matches!(away, Error::Unavailable(_)), "{away}");
    let counts = BTreeMap::from([("operation=lock/peek,outcome=unavailable", 1)]);
    assert_eq!(watch.seen().counts("calls_total"), counts);
}

/// A primary each is no call each.
#[tokio::test]
async fn a_call_to_all_of_a_cluster_is_one() {
    let (watch, cluster) = (watch(), Cluster::builder().replicas_each(0).start().unwrap());
    let redis = connected(private(cluster.url())).await;
    redis.ping().await.unwrap();
    let cache = Cache::new(redis.clone());
    let apart = cache.delete_many(&["private-1", "private-2"]).await.unwrap_err();
    assert!(matches!(apart, Error::CrossSlot { .. }), "{apart}");
    cache.delete_many_by_slot(&["private-1", "private-2"]).await.unwrap();
    Leases::new(redis).list("private").await.unwrap();
    let counts = BTreeMap::from([
        ("operation=PING,outcome=ok", 1),
        // There and back.
        ("operation=SCAN,outcome=ok", 5),
        ("operation=cache/delete_many,outcome=ok", 2),
        ("operation=cache/delete_many,outcome=rejected", 1),
    ]);
    assert_eq!(watch.seen().counts("calls_total"), counts);
}
