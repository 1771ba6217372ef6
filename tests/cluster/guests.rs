//! Whom redirections name while no slot belongs to it yet.

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
