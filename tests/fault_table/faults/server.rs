//! What a server does that is not at its best.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::lock::Acquire;
use auth_adapter_redis::testing::Data;
use auth_adapter_redis::{Cache, Error};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::stage::Setting;
use crate::stranger::Stranger;
use crate::support::{LONG, until};
use crate::{DEADLINE, PATIENT};

#[tokio::test]
async fn client_kill() {
    let stage = Setting::new(PATIENT).start().await;
    let kill = ["CLIENT", "KILL", "TYPE", "normal"];
    let found = stage.call_all_after(async |_| drop(stage.tell(&kill))).await;
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "CLIENT KILL",
        "before each call the server ends all connections",
        "what was kept before is there",
    );
}

#[tokio::test]
async fn client_pause_all() {
    /// Nothing ends it early.
    const PAUSE: Duration = Duration::from_secs(3);
    let stage = Setting::new(DEADLINE).start().await;
    let began = Instant::now();
    stage.tell(&["CLIENT", "PAUSE", &PAUSE.as_millis().to_string(), "ALL"]);
    let found = stage.call_all_away().await.begun_in_vain();
    assert!(began.elapsed() < PAUSE, "{:?}", began.elapsed());
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "CLIENT PAUSE ALL",
        "the server answers nobody for a while",
        "what was sent may be executed at the end of the pause, before anything that is sent later",
    );
}

#[tokio::test]
async fn client_pause_write() {
    let stage = Setting::new(DEADLINE).start().await;
    stage.tell(&["CLIENT", "PAUSE", "3600000", "WRITE"]);
    // A write that waits holds up its connection, so that the circuit opens until there is another one.
    let found = stage.call_all_after(async |_| stage.closes().await).await;
    let found = found.begun_in_vain().folded();
    let found = found.but_for_6_2(&stage, "script/load", Answer::Away, Answer::Right);
    stage.closes().await;
    let cache = &stage.world.cache;
    let (write, read) = tokio::join!(cache.set("k", "v", LONG), cache.get("cache/get"));
    assert!(write.is_err() && read.is_err(), "it waits behind the write: {read:?}");
    stage.tell(&["CLIENT", "UNPAUSE"]);
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "CLIENT PAUSE WRITE",
        "the server answers nobody who writes or calls a script, on Redis 6.2 nobody who loads one either; reads are right on a connection on which no write waits",
        "as after CLIENT PAUSE ALL",
    );
}

#[tokio::test]
async fn stopped() {
    let stage = Setting::new(DEADLINE).start().await;
    stage.server.pause().unwrap();
    let found = stage.call_all_away().await.begun_in_vain();
    stage.server.resume().unwrap();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "SIGSTOP",
        "the process stands still; the system holds its connections and accepts more",
        "what was sent may be executed when it goes on, before anything that is sent later",
    );
}

#[tokio::test]
async fn loading() {
    // It looks at its connections every two megabytes, which is once for each of these.
    const BIG: usize = 40;
    let slow = ["--rdbcompression", "no", "--key-load-delay", "20000"];
    let stage = Setting::new(DEADLINE).args(&slow).restarting_unready().start().await;
    for key in 0..BIG {
        stage.tell(&["SETRANGE", &key.to_string(), "2200000", "x"]);
    }
    stage.tell(&["SAVE"]);
    stage.server.restart(Data::Kept).unwrap();
    let circuits = stage.redis.circuits();
    let says_so = |why: &str| why.contains("LOADING");
    until(|| circuits.borrow().iter().any(|of| of.why.as_deref().is_some_and(says_so))).await;
    let found = stage.call_all_away().await;
    // Redis 6.2 takes its time to the end.
    let _refused = stage.server.command(&["CONFIG", "SET", "key-load-delay", "0"]).unwrap();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "LOADING",
        "the server has been restarted, and reads its data from disk",
        "what was saved is there",
    );
}

/// The first call that writes is told so; from then on nothing is asked of what may be stale.
#[tokio::test]
async fn read_only() {
    let stage = Setting::new(DEADLINE).start().await;
    // Its primary is not there.
    stage.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    let patient = stage.redis.clone().with_call_deadline(PATIENT).unwrap();
    is_told(Cache::new(patient)).await;
    let found = stage.call_all_away().await;
    stage.tell(&["REPLICAOF", "NO", "ONE"]);
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "READONLY",
        "the primary has become a replica; reads are right until the first write, which is refused READONLY and opens the circuit",
        "what was kept before is there",
    );
}

async fn is_told(cache: Cache) {
    assert_eq!(cache.get("k").await.unwrap(), None, "it can be read until then");
    let told = cache.set("k", "v", LONG).await.unwrap_err();
    assert!(matches!(&told, Error::Server(error) if error.code == "READONLY"), "{told:?}");
}

/// Scripts are lost all the time, while others call them too.
#[tokio::test]
async fn script_flush() {
    let stage = Setting::new(PATIENT).start().await;
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let leases = stage.kept.leases.clone();
        load.spawn(async move {
            loop {
                let held = leases.acquire("lock", LONG).await;
                assert!(matches!(held, Ok(Acquire::Held { .. })), "{held:?}");
            }
        });
    }
    let (ends, mut other) = (Arc::new(AtomicBool::new(false)), Stranger::of(&stage.server));
    let has_ended = Arc::clone(&ends);
    let flushes = thread::spawn(move || {
        while !has_ended.load(Ordering::Relaxed) {
            assert_eq!(other.ask("SCRIPT FLUSH"), "+OK");
        }
    });
    let found = stage.call_all().await;
    until(|| stage.redis.scripts_loaded() > 200).await;
    ends.store(true, Ordering::Relaxed);
    flushes.join().unwrap();
    // None of them has come to an end, so none has failed.
    assert!(load.try_join_next().is_none());
    load.shutdown().await;
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "SCRIPT FLUSH under load",
        "the server forgets its scripts over and over, while eight tasks call them",
        "what was kept before is there",
    );
}

/// It comes back by itself as soon as there is room.
#[tokio::test]
async fn max_clients() {
    let stage = Setting::new(DEADLINE).behind_proxy().start().await;
    stage.tell(&["CONFIG", "SET", "maxclients", "20"]);
    stage.proxy().refuse();
    let mut idle = Vec::new();
    loop {
        let mut other = Stranger::of(&stage.server);
        if other.ask("PING") != "+PONG" {
            break;
        }
        idle.push(other);
        assert!(idle.len() <= 20);
    }
    stage.proxy().pass();
    let circuits = stage.redis.circuits();
    let says_so = |why: &str| why.contains("max number of clients");
    until(|| circuits.borrow().iter().any(|of| of.why.as_deref().is_some_and(says_so))).await;
    let found = stage.call_all_away().await;
    drop(idle);
    until(|| stage.server.command(&["PING"]).is_ok_and(|reply| !reply.is_error())).await;
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "maxclients",
        "the connection was cut, and others have taken all that the server allows",
        "what was kept before is there",
    );
}
