//! The tour takes the URL of a server, of Sentinels and of a cluster, and every claim in it holds.

use std::process::Command;

use auth_adapter_redis::testing::{Cluster, SentinelGroup, Server};

/// Walks the tour on this URL, and gives what it printed.
fn walk(url: &str) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline", "--example", "tour"]);
    let output = cargo.env("REDIS_URL", url).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (told, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}{complained}");
    for chapter in 1..=12 {
        assert!(told.contains(&format!("\n{chapter}. ")), "{told}");
    }
    assert!(told.contains("The outage (chapters 13 and 14) is left out"), "{told}");
    assert!(told.contains("Nothing of the tour is left"), "{told}");
    told
}

#[test]
fn it_walks_on_a_server() {
    let server = Server::start().unwrap();
    assert!(walk(&server.url()).starts_with("On the server at REDIS_URL"));
    assert_eq!(server.command(&["DBSIZE"]).unwrap().int(), Some(0));
}

#[test]
fn it_walks_on_the_primary_of_sentinels() {
    let group = SentinelGroup::builder().replicas(1).start().unwrap();
    assert!(walk(&group.url()).starts_with("On the primary that the Sentinels name"));
}

#[test]
fn it_walks_on_a_cluster() {
    let cluster = Cluster::builder().replicas_each(0).start().unwrap();
    assert!(walk(&cluster.url()).starts_with("On the cluster at REDIS_URL"));
    for node in cluster.nodes() {
        assert_eq!(node.command(&["DBSIZE"]).unwrap().int(), Some(0));
    }
}
