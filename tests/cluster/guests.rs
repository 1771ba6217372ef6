//! Whom redirections name while no slot belongs to it yet.

use auth_adapter_redis::circuit::CircuitState;

use super::*;

/// Two primaries behind proxies, of which the first has all slots.
pub async fn one_with_all_slots() -> Cluster {
    let builder = Cluster::builder().primaries(2).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let nodes = [&cluster.nodes()[0], &cluster.nodes()[1]];
    let owned: Vec<_> = (8192..16384).map(|at: u16| at.to_string()).collect();
    let all = |verb| [vec!["CLUSTER", verb], owned.iter().map(String::as_str).collect()].concat();
    for node in nodes {
        ok(&node.command(&all("DELSLOTS")).unwrap());
    }
    ok(&nodes[0].command(&all("ADDSLOTS")).unwrap());
    nodes[0].command(&["CLUSTER", "BUMPEPOCH"]).unwrap();
    until(|| {
        nodes.iter().all(|node| {
            let slots = node.command(&["CLUSTER", "SLOTS"]).unwrap();
            let info = node.command(&["CLUSTER", "INFO"]).unwrap();
            slots.array().is_some_and(|ranges| ranges.len() == 1)
                && info.text().is_some_and(|info| info.contains("cluster_state:ok"))
        })
    })
    .await;
    cluster
}

#[tokio::test]
async fn one_that_hangs_is_away_like_any_node() {
    let cluster = one_with_all_slots().await;
    let cache = Cache::new(hurried(&cluster).await);
    let guest = &cluster.nodes()[1];
    let half = cluster.begin_move(slot(b"k"), guest).unwrap();
    cache.set("k", "v", LONG).await.unwrap();
    guest.pause().unwrap();
    let began = Instant::now();
    let (mut calls, mut waited) = (0, 0);
    while began.elapsed() < DEADLINE * 10 {
        let call = Instant::now();
        assert!(cache.get("k").await.is_err());
        calls += 1;
        waited += usize::from(call.elapsed() > DEADLINE / 2);
    }
    assert!(waited <= 2, "of {calls} calls {waited} waited");
    assert!(calls > 100, "{calls}");
    guest.resume().unwrap();
    let back = async { while cache.get("k").await.is_err() {} };
    tokio::time::timeout(HANG, back).await.expect("it is back");
    half.finish().unwrap();
}

#[tokio::test]
async fn one_that_is_named_no_more_is_let_go() {
    let cluster = one_with_all_slots().await;
    let redis = hurried(&cluster).await;
    let cache = Cache::new(redis.clone());
    let guest = &cluster.nodes()[1];
    let half = cluster.begin_move(slot(b"k"), guest).unwrap();
    assert_eq!(cache.get("k").await.unwrap(), None);
    guest.kill().unwrap();
    let circuits = redis.circuits();
    until(|| circuits.borrow().state() != CircuitState::Closed).await;
    ok(&half.from().command(&["CLUSTER", "SETSLOT", &slot(b"k").to_string(), "STABLE"]).unwrap());
    until(|| circuits.borrow().state() == CircuitState::Closed).await;
    assert_eq!(circuits.borrow().iter().len(), 1);
    assert!(redis.is_connected());
}
