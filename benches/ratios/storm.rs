//! What a server that has lost its scripts is sent when everybody calls at once.

use std::sync::Arc;

use auth_adapter_redis::lock::{Acquire, Leases};
use auth_adapter_redis::testing::Server;
use tokio::task::JoinSet;

use crate::measure::{Goal, Ratio};
use crate::support::{Bench, TTL, flush, handle, keys};

const STORMS: usize = 15;
const CALLS: usize = 1024;

pub fn cold_storm_loads(bench: &Bench) -> Ratio {
    let storms = (0..STORMS).map(|_| bench.runtime.block_on(storm(bench)));
    Ratio {
        name: "cold_storm_loads",
        goal: Goal::AtMost(4.0),
        samples: storms.collect(),
        what: "sources sent: 1024 Leases::acquire at once on one handle after SCRIPT FLUSH",
    }
}

/// How many sources one storm sent. Every call in it succeeds.
async fn storm(bench: &Bench) -> f64 {
    let server = &bench.server;
    flush(&mut bench.connection.clone()).await;
    let locks = Leases::new(handle(server).await);
    server.flush_scripts().unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let keys = keys(CALLS);
    let mut calls = JoinSet::new();
    for call in 0..CALLS {
        let (locks, keys) = (locks.clone(), Arc::clone(&keys));
        calls.spawn(async move { locks.acquire(&keys[call], TTL).await });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.len(), CALLS);
    for outcome in outcomes {
        assert!(matches!(outcome, Ok(Acquire::Acquired(_))), "{outcome:?}");
    }
    assert!(server.command_calls("evalsha") >= CALLS as u64);
    sources_sent(server) as f64
}

fn sources_sent(server: &Server) -> u64 {
    // Redis 6.2 counts all of SCRIPT as one command.
    let commands = ["eval", "script|load", "script"];
    commands.map(|name| server.command_calls(name)).iter().sum()
}
