//! A walk over the keys of a pattern, while their slot moves.

use super::*;

/// From where the walk has yet to go to where it has been.
#[tokio::test]
async fn what_moves_behind_a_walk_is_found_on_its_way_back() {
    const KEYS: usize = 500;
    const OTHERS: usize = 6000;
    let builder = Cluster::builder().primaries(2).replicas_each(0).behind_proxies();
    let cluster = builder.start().unwrap();
    let adapter = RedisCacheAdapter::new(patient(&cluster).await).with_missed_deletes(0);
    let mut nodes: Vec<_> = cluster.nodes().iter().zip(cluster.proxies()).collect();
    nodes.sort_by_key(|(_, proxy)| proxy.addr().to_string());
    let [(first, _), (last, proxy)] = nodes[..] else { panic!("two nodes") };
    let tag = key_on(&cluster, last);
    let set = |keys: Vec<String>| {
        let pairs = keys.iter().flat_map(|key| [key.as_str(), "v"]);
        let words: Vec<&str> = std::iter::once("MSET").chain(pairs).collect();
        ok(&last.command(&words).unwrap());
    };
    set((0..KEYS).map(|at| format!("heartbeat:{{{tag}}}:{at}")).collect());
    let beside = (0..).map(|at| format!("{tag}-{at}")).find(|other| {
        let slot = slot(other.as_bytes());
        cluster.primary_of_slot(slot).unwrap().port() == last.port()
            && slot != auth_adapter_redis::key::slot(tag.as_bytes())
    });
    let beside = beside.unwrap();
    set((0..OTHERS).map(|at| format!("elsewhere:{{{beside}}}{at}")).collect());
    proxy.delay(Duration::from_millis(30));
    let before = last.command_calls("scan");
    let missed = format!("heartbeat:{{{tag}}}:0");
    tokio::select! {
        biased;
        () = adapter.delete(&missed) => panic!("it cannot be done yet"),
        () = std::future::ready(()) => {}
    }
    until(|| last.command_calls("scan") > before).await;
    let half = cluster.begin_move(slot(tag.as_bytes()), first).unwrap();
    half.move_keys(KEYS).unwrap();
    half.finish().unwrap();
    assert_eq!(adapter.health().patterns_pending, ["heartbeat:*"], "the walk goes on");
    until(|| adapter.health().patterns_pending.is_empty()).await;
    let left = [first, last].map(|node| node.command(&["DBSIZE"]).unwrap().int());
    assert_eq!(left, [Some(0), Some(OTHERS as i64)]);
}
