//! Everything at once and at full rate, on a server that is killed and started again all the time, and
//! loses its scripts every second. It keeps its data, so each answer can be told right or wrong.
//!
//! `STORM` says for how many seconds: `make storm` is five minutes. Alone in its process, whose memory is
//! counted.

#[path = "storm/caching.rs"]
mod caching;
#[path = "storm/limits.rs"]
mod limits;
#[path = "storm/locking.rs"]
mod locking;
#[path = "storm/logins.rs"]
mod logins;
#[path = "storm/rotations.rs"]
mod rotations;
mod support;
#[path = "storm/tally.rs"]
mod tally;
#[path = "storm/weather.rs"]
mod weather;
#[path = "storm/world.rs"]
mod world;

use std::alloc::System;
use std::env;
use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::testing::Server;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::{HANG, comes_alive, quick, until};
use tally::Tally;
use weather::Weather;
use world::World;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many of each kind of worker.
const WORKERS: usize = 8;
/// What a run may leave behind: tables that have grown, and the last connection.
const ROOM: usize = 1024 * 1024;
/// Longer than a call may take, also on a machine that does much else.
const HANGS: Duration = Duration::from_secs(2);

fn in_use() -> usize {
    let stats = MEMORY.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_right_and_none_is_missing() {
    let seconds = env::var("STORM").map_or(6, |text| text.parse().expect("STORM is a number"));
    let lasts = Duration::from_secs(seconds);
    // What it has answered survives its death.
    let keeps = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
    let server = Arc::new(Server::builder().args(keeps).start().unwrap());
    let redis = quick(server.url()).build().unwrap();
    comes_alive(&redis).await;
    let world = Arc::new(World::new(redis.clone()));
    let before = in_use();

    let weather = Weather::over(Arc::clone(&server), lasts);
    let mut workers = tokio::task::JoinSet::new();
    for at in 0..WORKERS {
        workers.spawn(caching::work(Arc::clone(&world), at));
        workers.spawn(limits::work(Arc::clone(&world), at));
        workers.spawn(locking::work(Arc::clone(&world), at));
        workers.spawn(logins::work(Arc::clone(&world), at));
        workers.spawn(rotations::work(Arc::clone(&world), at));
    }
    let deaths = weather.passes().await;
    world.end();
    let tallies = tokio::time::timeout(HANG, workers.join_all()).await.expect("no call hangs");
    let all = tallies.into_iter().fold(Tally::default(), Tally::and);

    comes_alive(&redis).await;
    until(|| world.adapter.health().deletes_pending == 0).await;
    let health = world.adapter.health();
    world.close().await;
    let kept = in_use().saturating_sub(before);

    println!("{all}");
    println!(
        "in {seconds} s, with {deaths} deaths of the server, {} scripts sent anew",
        health.scripts_loaded
    );
    println!("swallowed by the adapter: {:?}", health.swallowed);
    println!("{kept} bytes more in use than before");
    assert_eq!(all.wrong(), &[] as &[String]);
    assert!(all.longest() < HANGS, "{:?}", all.longest());
    assert_eq!(all.operations(), 31, "each was called and answered");
    assert!(deaths > 0 && health.swallowed.total() > 0 && health.scripts_loaded > 0);
    assert_eq!(health.rejected.total(), 0);
    assert!(kept < ROOM, "{kept} bytes are left");
}
