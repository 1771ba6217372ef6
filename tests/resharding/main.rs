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
use std::time::{Duration, Instant, SystemTime};

use auth_adapter_redis::key::slot;
use auth_adapter_redis::testing::{Cluster, Server};
use auth_adapter_redis::{Redis, RedisBuilder};
use load::Load;
use witness::Witness;

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(60);
/// Past this something hangs.
const HANG: Duration = Duration::from_secs(20);
/// The one of a call by default.
const DEADLINE: Duration = Duration::from_millis(250);

/// All slots go there and come back so many times.
const TURNS: usize = 4;
const SLOTS: usize = 8;
/// How many at a time.
const AT_ONCE: [usize; 4] = [1, 2, 2, 3];
/// How many keys of a slot go in the first half: it has about twice as many.
const HALF: usize = 5;
/// How much is called before and after that.
const CALLS: u64 = 100;

fn cluster() -> Arc<Cluster> {
    let builder = Cluster::builder().primaries(3).replicas_each(0);
    // A busy machine must not make them call each other dead.
    Arc::new(builder.args(["--cluster-node-timeout", "2000"]).start().unwrap())
}

/// Tags of slots that the first node serves.
fn tags(cluster: &Cluster) -> Vec<String> {
    let first = cluster.nodes()[0].port();
    let serves = |tag: &String| cluster.primary_of_key(tag).unwrap().port() == first;
    (0..).map(|at| format!("t{at}")).filter(serves).take(SLOTS).collect()
}

/// Moves slots from the first node to the second, and in the next turn back.
fn move_about(cluster: &Cluster, tags: &[String], load: &Load, turns: usize) {
    for turn in 0..turns {
        wait_until_heard(cluster);
        let to = &cluster.nodes()[(turn + 1) % 2];
        let mut slots = tags.iter().map(|tag| slot(tag.as_bytes()));
        for (time, at_once) in AT_ONCE.into_iter().enumerate() {
            let some = slots.by_ref().take(at_once);
            let moves: Vec<_> = some.map(|slot| cluster.begin_move(slot, to).unwrap()).collect();
            load.goes_on(CALLS);
            for half in &moves {
                half.move_keys(HALF).unwrap();
            }
            match time {
                1 => load.meets_tryagain(),
                2 => cluster.flush_scripts().unwrap(),
                _ => {}
            }
            load.goes_on(CALLS);
            moves.into_iter().for_each(|half| half.finish().unwrap());
        }
    }
}

/// Waits until no node can hear any more what another said before all agreed. One that hears late who
/// had a slot drops what it has begun to take over of it.
fn wait_until_heard(cluster: &Cluster) {
    cluster.wait_until_settled(HANG).unwrap();
    let (began, agreed) = (Instant::now(), SystemTime::now());
    let agreed = agreed.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let heard = |node: &Server| {
        let nodes = node.command(&["CLUSTER", "NODES"]).unwrap();
        let mut others = nodes.text().unwrap().lines().filter(|line| !line.contains("myself"));
        // When the last answer to a ping came, in milliseconds of the epoch.
        others.all(|line| line.split(' ').nth(5).unwrap().parse::<u128>().unwrap() > agreed)
    };
    while !cluster.nodes().iter().all(heard) {
        assert!(began.elapsed() < HANG, "the nodes do not hear each other");
        std::thread::sleep(Duration::from_millis(5));
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
        move || move_about(&cluster, &tags, &load, TURNS)
    };
    let (expected, wrong) = load.run(&tags, moves).await;
    if !wrong.is_empty() {
        for node in cluster.nodes() {
            println!(
                "==== {} {}\n{}",
                node.port(),
                tags.iter()
                    .map(|t| format!("{t}={}", slot(t.as_bytes())))
                    .collect::<Vec<_>>()
                    .join(" "),
                node.log().lines().filter(|l| !l.contains("DB ")).collect::<Vec<_>>().join("\n")
            );
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    expected.check(&cluster);
    for code in ["MOVED", "ASK", "TRYAGAIN", "NOSCRIPT"] {
        assert!(errors(&cluster, code) > 0, "no call has met {code}");
    }
    // What the servers themselves were slow at is not the handle's.
    let stall = witness.slowest();
    let slowest = load.slowest();
    assert!(slowest < DEADLINE + 2 * stall, "{slowest:?}, the servers {stall:?}");
    let [late, twice] = [&load.late, &load.twice].map(|count| count.load(Ordering::Relaxed));
    assert!(late == 0 || stall > DEADLINE / 25, "{late} late, the servers {stall:?}");
    assert!(twice == 0 || stall > DEADLINE, "{twice} twice, the servers {stall:?}");
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
        move || move_about(&cluster, &tags, &load, 1)
    };
    let (_, wrong) = load.run(&tags, moves).await;
    assert!(wrong.iter().any(|why| why.contains("redis answered ASK")), "{wrong:?}");
}
