//! Slots move back and forth between two primaries while everything is called on their keys: nothing
//! fails but calls on several keys, which say so and have done nothing then, and nothing is lost.

#[path = "../../benches/failover/run/lock.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod holders;
mod load;
mod locks;
mod many;
mod numbers;
#[path = "../../benches/failover/run/witness.rs"]
mod witness;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use auth_adapter_redis::key::slot;
use auth_adapter_redis::testing::Cluster;
use auth_adapter_redis::{Redis, RedisBuilder};
use load::Load;
use witness::Witness;

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(60);
/// Past this something hangs.
const HANG: Duration = Duration::from_secs(20);
/// The one of a call by default.
const DEADLINE: Duration = Duration::from_millis(250);

/// How often slots are moved, one to four of them at a time.
const MOVES: usize = 32;
const SLOTS: usize = 4;
/// How many keys of a slot go in the first half: it has about twice as many.
const HALF: usize = 5;
/// How much is called before and after that.
const CALLS: u64 = 100;

fn cluster() -> Arc<Cluster> {
    Arc::new(Cluster::builder().primaries(3).replicas_each(0).start().unwrap())
}

/// Tags of slots that the first node serves.
fn tags(cluster: &Cluster) -> Vec<String> {
    let first = cluster.nodes()[0].port();
    let serves = |tag: &String| cluster.primary_of_key(tag).unwrap().port() == first;
    (0..).map(|at| format!("t{at}")).filter(serves).take(SLOTS).collect()
}

/// Moves slots between the first two nodes, so many times: some there, and all of them back.
fn move_about(cluster: &Cluster, tags: &[String], load: &Load, times: usize) {
    let slots: Vec<_> = tags.iter().map(|tag| slot(tag.as_bytes())).collect();
    for time in 0..times {
        // A node that has heard of a move late takes the slot for the last owner's.
        cluster.wait_until_settled(HANG).unwrap();
        let to = &cluster.nodes()[(time + 1) % 2];
        let some = slots.iter().cycle().skip(time / 2).take(1 + time / 2 % SLOTS);
        let moves: Vec<_> = some.map(|slot| cluster.begin_move(*slot, to).unwrap()).collect();
        load.goes_on(CALLS);
        for half in &moves {
            half.move_keys(HALF).unwrap();
        }
        if time % 4 == 1 {
            cluster.flush_scripts().unwrap();
        }
        match time % 3 == 2 {
            true => load.meets_tryagain(),
            false => load.goes_on(CALLS),
        }
        moves.into_iter().for_each(|half| half.finish().unwrap());
    }
}

/// How often the nodes have answered with an error.
fn errors(cluster: &Cluster, code: &str) -> u64 {
    let field = format!("errorstat_{code}");
    let counts = cluster.nodes().iter().filter_map(|node| node.info_field("errorstats", &field));
    counts.map(|count| count.strip_prefix("count=").unwrap().parse::<u64>().unwrap()).sum()
}

/// With the default deadline.
async fn handle(builder: RedisBuilder) -> Redis {
    let redis = builder.build().unwrap();
    tokio::time::timeout(HANG, redis.connected()).await.expect("it connects");
    assert_eq!(redis.call_deadline(), DEADLINE);
    redis
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_and_nothing_is_lost_while_slots_move() {
    let cluster = cluster();
    let tags = tags(&cluster);
    let load = Arc::new(Load::on(handle(Redis::builder().url(cluster.url())).await));
    let witness = Witness::of(&cluster.nodes().iter().collect::<Vec<_>>());
    let moves = {
        let (cluster, tags, load) = (Arc::clone(&cluster), tags.clone(), Arc::clone(&load));
        move || move_about(&cluster, &tags, &load, MOVES)
    };
    let (expected, wrong) = load.run(&tags, moves).await;
    assert_eq!(wrong, Vec::<String>::new());
    expected.check(&cluster);
    for code in ["MOVED", "ASK", "TRYAGAIN", "NOSCRIPT"] {
        assert!(errors(&cluster, code) > 0, "no call has met {code}");
    }
    // What the servers themselves were slow at is not the handle's.
    let stall = witness.slowest();
    let slowest = load.slowest();
    assert!(slowest < DEADLINE.max(stall + DEADLINE / 2), "{slowest:?}, the servers {stall:?}");
    let unanswered = load.unanswered.load(Ordering::Relaxed);
    assert!(unanswered == 0 || stall > DEADLINE / 25, "{unanswered}, the servers {stall:?}");
}

/// The same load shows it when redirections are not followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_that_does_not_follow_would_fail() {
    let cluster = cluster();
    let tags = tags(&cluster);
    let url = cluster.nodes()[0].url();
    let load = Arc::new(Load::on(handle(Redis::builder().url(url)).await));
    let moves = {
        let (cluster, tags, load) = (Arc::clone(&cluster), tags.clone(), Arc::clone(&load));
        move || move_about(&cluster, &tags, &load, SLOTS)
    };
    let (_, wrong) = load.run(&tags, moves).await;
    assert!(wrong.iter().any(|why| why.contains("redis answered ASK")), "{wrong:?}");
}
