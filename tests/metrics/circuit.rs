//! The circuits of nodes.

use auth_adapter_redis::circuit::CircuitState;
use auth_adapter_redis::testing::Data;

use super::*;

async fn comes_to(redis: &Redis, closed: bool) {
    let mut circuits = redis.circuits();
    let change = circuits.wait_for(|circuits| (circuits.state() == CircuitState::Closed) == closed);
    tokio::time::timeout(HANG, change).await.expect("it changes").unwrap();
}

#[tokio::test]
async fn a_node_shows_the_worst_of_its_circuits_and_nothing_of_who_logs_in() {
    let acl = "user private-user on >private-pw ~* &* +@all";
    let (watch, server) = (watch(), Server::builder().acl(acl).start().unwrap());
    let url = server.url().replace("://", "://private-user:private-pw@");
    let first = connected(private(url.clone())).await;
    let gauge = format!("circuit_state{{node=127.0.0.1:{}}}", server.port());
    let seen = watch.seen();
    assert_eq!(seen.level(&gauge), 0.0);
    assert!(seen.counts("circuit_changes_total").is_empty(), "to begin so is no change");

    server.kill().unwrap();
    comes_to(&first, false).await;
    let seen = watch.seen();
    assert!(seen.level(&gauge) >= 1.0);
    let opened = format!("node=127.0.0.1:{},state=open", server.port());
    assert!(seen.counts("circuit_changes_total")[&*opened] >= 1);
    let second = private(url).build().unwrap();
    assert!(watch.seen().level(&gauge) >= 1.0, "that of the first, whatever the second knows");
    comes_to(&second, false).await;

    server.restart(Data::Lost).unwrap();
    comes_to(&first, true).await;
    comes_to(&second, true).await;
    let seen = watch.seen();
    assert_eq!(seen.level(&gauge), 0.0);
    let closed = format!("node=127.0.0.1:{},state=closed", server.port());
    assert_eq!(seen.counts("circuit_changes_total")[&*closed], 2);
}

/// Else it would be seen as away for ever.
#[tokio::test]
async fn the_circuit_of_a_handle_that_is_gone_counts_no_more() {
    let (watch, server) = (watch(), Server::start().unwrap());
    let gauge = format!("circuit_state{{node=127.0.0.1:{}}}", server.port());
    let (first, second) = (on(&server).await, on(&server).await);
    server.kill().unwrap();
    comes_to(&first, false).await;
    comes_to(&second, false).await;
    drop((first, second));
    // Each ends with its loop: after both, and not before, that of a new one is the worst.
    until(|| {
        watch.seen();
        drop(private(server.url()).build().unwrap());
        watch.seen().level(&gauge) == 0.0
    })
    .await;
}
