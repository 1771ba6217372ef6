//! The table of names in the documentation.

use std::collections::BTreeMap;

use auth_adapter_redis::{Cache, CacheAdapter, Locks, RedisCacheAdapter, metrics};

use super::support::ROOT;
use super::*;

/// The rows of the table: name, kind and labels.
fn table() -> BTreeMap<String, (String, Vec<String>)> {
    let source = std::fs::read_to_string(ROOT.join("src/metrics.rs")).unwrap();
    let rows = source.lines().filter(|line| line.starts_with("//! | [`"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let labels = cells[4].split(", ").filter(|label| !label.is_empty());
        (cells[2].clone(), (cells[3].clone(), labels.map(str::to_owned).collect()))
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn each_of_the_table_is_there_with_its_kind_and_labels_and_described() {
    let (watch, server) = (watch(), Server::start().unwrap());
    metrics::describe();
    let redis = on(&server).await;
    let (adapter, locks) = (RedisCacheAdapter::new(redis.clone()), Locks::new(redis.clone()));
    let locks = locks.with_renewal();
    Cache::new(redis.clone()).get("private-key").await.unwrap();
    let guard = locks.acquire("private-lock", SHORT * 10, LONG).await.unwrap();
    let guard = guard.guard().unwrap();
    until(|| server.command_calls("pexpire") > 0).await;
    adapter.set("", "rejected", LONG).await;
    server.kill().unwrap();
    tokio::time::timeout(HANG, guard.lost()).await.unwrap();
    assert_eq!(adapter.get("private-key").await, None);
    let told = watch.described();
    let table = table();
    assert!(told.keys().eq(table.keys()), "{:?} and {:?}", told.keys(), table.keys());
    for (name, (kind, labels)) in table {
        let (told_kind, what, told_labels) = &told[&name];
        assert_eq!((&kind, &labels), (&told_kind.to_string(), told_labels), "{name}");
        assert!(what.as_ref().is_some_and(|what| what.len() > 10), "{name}");
    }
}
