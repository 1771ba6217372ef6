//! What was cut off on a node that the handle then lost sight of: it does not execute once the node is
//! back, whatever was done meanwhile.

use std::collections::BTreeSet;

use auth_adapter_redis::testing::Proxy;

use super::*;

/// Three primaries with a replica each, behind proxies.
async fn replicated() -> (Cluster, Redis) {
    let cluster = Cluster::builder().replicas_each(1).behind_proxies().start().unwrap();
    let redis = hurried(&cluster).await;
    Cache::new(redis.clone()).set("k", "first", LONG).await.unwrap();
    let replica = cluster.replicas_of(cluster.primary_of_key("k").unwrap()).unwrap()[0];
    until(|| replica.command(&["DBSIZE"]).unwrap().int() == Some(1)).await;
    (cluster, redis)
}

/// Makes a replica the primary of key `k`, and waits until it is, and its last primary follows it.
async fn hand_over(cluster: &Cluster, from: &Server, to: &Server) {
    copies(to).await;
    // What copies the primary may stand still with all else that does.
    ok(&to.command(&["CLUSTER", "FAILOVER", "FORCE"]).unwrap());
    until(|| cluster.primary_of_key("k").is_ok_and(|now| now.port() == to.port())).await;
    until(|| from.info_field("replication", "role").as_deref() == Some("slave")).await;
}

async fn copies(replica: &Server) {
    let link = || replica.info_field("replication", "master_link_status");
    until(|| link().as_deref() == Some("up")).await;
}

/// A primary that this client cannot reach is failed over, and back once it can again. On the way to it
/// is what the handle sent last.
async fn fail_over_and_back(cluster: &Cluster, cache: &Cache, last: &Server, proxy: &Proxy) {
    assert!(proxy.held_bytes() > 0, "the write is on its way");
    proxy.black_hole();
    let next = cluster.replicas_of(last).unwrap()[0];
    hand_over(cluster, last, next).await;
    let read = async { while !matches!(cache.get("k").await, Ok(Some(_))) {} };
    tokio::time::timeout(HANG, read).await.expect("the replica is read");
    hand_over(cluster, next, last).await;
    proxy.pass();
    copies(next).await;
}

/// Deletes, then lets through what is on its way, until so many connections are left: nothing of it is
/// executed.
async fn stays_deleted(cache: &Cache, proxy: &Proxy, left: usize) {
    let deleted = async { while cache.delete("k").await.is_err() {} };
    tokio::time::timeout(HANG, deleted).await.expect("it serves again");
    assert_eq!(cache.get("k").await.unwrap(), None);
    proxy.thaw();
    until(|| proxy.stats().open <= left).await;
    assert_eq!(cache.get("k").await.unwrap(), None, "what came late was executed");
}

fn proxy_of<'a>(cluster: &'a Cluster, node: &Server) -> &'a Proxy {
    let at = cluster.nodes().iter().position(|at| at.port() == node.port()).unwrap();
    &cluster.proxies()[at]
}

#[tokio::test]
async fn on_a_primary_that_was_failed_over_and_back() {
    let (cluster, redis) = replicated().await;
    let cache = Cache::new(redis);
    let last = cluster.primary_of_key("k").unwrap();
    let proxy = proxy_of(&cluster, last);
    proxy.freeze_present();
    let outcome = cache.set("k", "late", LONG).await;
    assert!(matches!(outcome, Err(Error::Unanswered { .. })), "{outcome:?}");
    fail_over_and_back(&cluster, &cache, last, proxy).await;
    // Its own, and its replica's.
    stays_deleted(&cache, proxy, 2).await;
}

/// As long as it waits its link is there, and is the only one to that node.
#[tokio::test]
async fn on_a_primary_that_was_failed_over_and_back_while_the_call_waited() {
    let (cluster, redis) = replicated().await;
    let cache = Cache::new(redis.clone());
    let last = cluster.primary_of_key("k").unwrap();
    let proxy = proxy_of(&cluster, last);
    let patient = Cache::new(redis.clone().with_call_deadline(LONG).unwrap());
    proxy.freeze_present();
    let waiting = tokio::spawn(async move { patient.set("k", "late", LONG).await });
    until(|| proxy.held_bytes() > 0).await;
    fail_over_and_back(&cluster, &cache, last, proxy).await;
    let back = async { while cache.get("k").await.is_err() {} };
    tokio::time::timeout(HANG, back).await.expect("it serves again");
    let circuits = redis.circuits().borrow().clone();
    let nodes: BTreeSet<_> = circuits.iter().map(|circuit| &circuit.node).collect();
    assert_eq!(nodes.len(), circuits.iter().len(), "one link to each node: {circuits:?}");
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled(), "it waited all the time");
    stays_deleted(&cache, proxy, 2).await;
}

#[tokio::test]
async fn on_a_node_that_takes_its_first_slot_over() {
    let cluster = guests::one_with_all_slots().await;
    let cache = Cache::new(hurried(&cluster).await);
    let (guest, proxy) = (&cluster.nodes()[1], &cluster.proxies()[1]);
    let half = cluster.begin_move(slot(b"k"), guest).unwrap();
    let cut_off = async {
        // The link to it may be another each time.
        while cache.set("k", "late", LONG).await.is_ok() {
            proxy.freeze_present();
        }
    };
    tokio::time::timeout(HANG, cut_off).await.expect("one has no answer");
    assert!(proxy.held_bytes() > 0, "the write is on its way");
    stays_deleted(&cache, proxy, 1).await;
    half.finish().unwrap();
}
