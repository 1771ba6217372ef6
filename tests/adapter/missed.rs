//! Deletes that Redis was away for: what they were about is not read until they are made up for.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use auth_adapter_redis::adapter::Health;
use auth_adapter_redis::cache::Read;
use auth_adapter_redis::testing::Server;
use support::fail_to_save;
use support::target::own_with;

const FLAG: &str = "session:abc:active";
/// A server that keeps what it was told across `kill -9`.
const KEEPS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

pub async fn on(server: &Own) -> RedisCacheAdapter {
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    RedisCacheAdapter::new(redis)
}

pub fn is_there(server: &Server, key: &str) -> bool {
    server.command(&["EXISTS", key]).unwrap().int() == Some(1)
}

pub async fn made_up_for(adapter: &RedisCacheAdapter) {
    let owes = |health: Health| health.deletes_pending > 0 || !health.patterns_pending.is_empty();
    until(|| !owes(adapter.health())).await;
}

/// The session that was logged out during the outage is not active for a single read afterwards.
#[tokio::test]
async fn a_session_that_was_logged_out_is_not_active_again_on_a_server_that_kept_it() {
    let server = own_with(&KEEPS);
    let adapter = Arc::new(on(&server).await);
    for key in [FLAG, "user:42"] {
        adapter.set(key, "1", LONG).await;
    }
    assert_eq!(adapter.get(FLAG).await.as_deref(), Some("1"));
    Server::kill(&server).unwrap();
    adapter.delete_many(&[FLAG, "user:42"]).await;
    assert_eq!(adapter.health().deletes_pending, 2);
    // Who reads all the time, from before the server is back until after all is made up for.
    let ends = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (adapter, ends) = (Arc::clone(&adapter), Arc::clone(&ends));
        readers.spawn(async move {
            let mut reads = 0_u64;
            while !ends.load(Ordering::Relaxed) {
                assert_eq!(adapter.get(FLAG).await, None, "read {reads}");
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        });
    }
    let restarted = tokio::task::spawn_blocking(move || {
        server.restart(Data::Kept);
        server
    });
    let server = restarted.await.unwrap();
    made_up_for(&adapter).await;
    adapter.set("other", "1", LONG).await;
    assert_eq!(adapter.get("other").await.as_deref(), Some("1"), "reads are answered again");
    ends.store(true, Ordering::Relaxed);
    let reads: u64 = readers.join_all().await.into_iter().sum();
    assert!(reads > 100, "{reads}");
    assert!(!is_there(&server, FLAG));
}

/// Also what lies beside it is not read before.
#[tokio::test]
async fn no_read_is_answered_before_the_deletes_are_done() {
    let server = own_behind_proxy();
    let adapter = on(&server).await;
    for key in ["k", "other"] {
        adapter.set(key, "v", LONG).await;
    }
    let proxy = server.proxy();
    proxy.black_hole();
    adapter.delete("k").await;
    let withheld = adapter.read("other").await.unwrap();
    assert!(matches!(withheld, Read::Degraded(_)), "{withheld:?}");
    proxy.pass();
    made_up_for(&adapter).await;
    assert!(matches!(adapter.read("k").await, Ok(Read::Miss)));
    assert!(matches!(adapter.read("other").await, Ok(Read::Hit(_))));
    assert!(!is_there(&server, "k"));
}

#[tokio::test]
async fn they_survive_several_outages_each_once_and_in_order() {
    let server = own_behind_proxy();
    let adapter = on(&server).await;
    let keys: Vec<String> = (0..50).map(|at| format!("{{k}}{at}")).collect();
    for key in &keys {
        adapter.set(key, "v", LONG).await;
    }
    let proxy = server.proxy();
    proxy.black_hole();
    for key in keys.iter().chain(&keys) {
        adapter.delete(key).await;
    }
    assert_eq!(adapter.health().deletes_pending, 50, "each once");
    for _ in 0..3 {
        // It comes back, and each reply is lost again.
        proxy.silence_replies();
        let before = proxy.stats().forwarded_bytes;
        until(|| proxy.stats().forwarded_bytes > before).await;
        proxy.black_hole();
    }
    assert_eq!(adapter.health().deletes_pending, 50);
    assert_eq!(adapter.get(&keys[0]).await, None);
    let dels = server.command_calls("del");
    proxy.pass();
    made_up_for(&adapter).await;
    assert!(keys.iter().all(|key| !is_there(&server, key)));
    assert!(server.command_calls("del") > dels);
}

/// Past the bound no key of the pattern is read until all of them are gone. What the typed stores keep
/// of a user stays, as does all that follows another pattern.
#[tokio::test]
async fn past_the_bound_the_whole_pattern_is_swept() {
    let server = own_behind_proxy();
    let adapter = on(&server).await.with_missed_deletes(2);
    let users: Vec<String> = (0..20).map(|at| format!("user:{at}")).collect();
    for key in users.iter().map(String::as_str).chain(["session:1:active", "elsewhere"]) {
        adapter.set(key, "v", LONG).await;
    }
    server.command(&["HSET", "user:1:state", "f", "v"]).unwrap();
    server.command(&["SET", "user:2:state", "a string too"]).unwrap();
    server.proxy().black_hole();
    for key in &users[..5] {
        adapter.delete(key).await;
    }
    let health = adapter.health();
    assert_eq!((health.deletes_pending, &health.patterns_pending[..]), (2, &["user:*"][..]));
    assert_eq!(adapter.get("user:19").await, None);
    server.proxy().pass();
    made_up_for(&adapter).await;
    until(|| adapter.health().is_reachable()).await;
    for key in &users {
        assert_eq!(adapter.get(key).await, None, "{key}");
    }
    for key in ["session:1:active", "elsewhere"] {
        assert_eq!(adapter.get(key).await.as_deref(), Some("v"), "{key}");
    }
    assert!(is_there(&server, "user:1:state") && is_there(&server, "user:2:state"));
}

/// Where no pattern tells them from what is to stay.
#[tokio::test]
async fn past_the_bound_keys_of_no_pattern_are_not_read_for_long() {
    let server = own_behind_proxy();
    let adapter = on(&server).await.with_missed_deletes(0);
    for key in ["a", "b", "user:1"] {
        adapter.set(key, "v", LONG).await;
    }
    server.proxy().black_hole();
    adapter.delete("a").await;
    server.proxy().pass();
    until(|| adapter.health().is_reachable()).await;
    assert_eq!(adapter.get("user:1").await.as_deref(), Some("v"));
    assert_eq!(adapter.get("b").await, None);
    assert_eq!(adapter.health().patterns_pending, ["other"]);
}

/// What was refused is tried again too, and nothing else waits for it.
#[tokio::test]
async fn a_delete_that_was_refused_withholds_its_own_key_alone() {
    let server = own();
    let adapter = on(&server).await;
    for key in ["k", "other"] {
        adapter.set(key, "v", LONG).await;
    }
    let saves = fail_to_save(&server);
    adapter.delete("k").await;
    assert_eq!((adapter.get("k").await, adapter.health().deletes_pending), (None, 1));
    assert_eq!(adapter.get("other").await.as_deref(), Some("v"));
    assert!(adapter.health().is_reachable() && is_there(&server, "k"));
    saves.mend();
    made_up_for(&adapter).await;
    assert!(!is_there(&server, "k"));
}

/// As by a handler whose client has hung up.
#[tokio::test]
async fn a_delete_that_is_dropped_halfway_is_done_in_the_background() {
    let server = own_behind_proxy();
    let adapter = on(&server).await;
    for key in ["{k}a", "{k}b", "{k}c"] {
        adapter.set(key, "v", LONG).await;
    }
    for keys in [&["{k}a"][..], &["{k}b", "{k}c"]] {
        let delete = async {
            match keys {
                [key] => adapter.delete(key).await,
                keys => adapter.delete_many(keys).await,
            }
        };
        server.proxy().black_hole();
        tokio::select! {
            biased;
            () = delete => panic!("it cannot be done yet"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(adapter.get(keys[0]).await, None);
        assert!(adapter.health().deletes_pending > 0);
        server.proxy().pass();
        made_up_for(&adapter).await;
    }
    assert!(["{k}a", "{k}b", "{k}c"].iter().all(|key| !is_there(&server, key)));
}

/// What was missed while Redis was away, and is refused when it is back, withholds no more than itself.
#[tokio::test]
async fn what_is_refused_once_redis_is_back_withholds_its_own_key_alone() {
    let server = own_behind_proxy();
    let adapter = on(&server).await;
    for key in ["{k}a", "{k}b"] {
        adapter.set(key, "v", LONG).await;
    }
    server.proxy().black_hole();
    adapter.delete("{k}a").await;
    assert_eq!(adapter.get("{k}b").await, None);
    let saves = fail_to_save(&server);
    server.proxy().pass();
    let read = async { while adapter.get("{k}b").await.is_none() {} };
    tokio::time::timeout(HANG, read).await.unwrap();
    assert_eq!((adapter.get("{k}a").await, adapter.health().deletes_pending), (None, 1));
    saves.mend();
    made_up_for(&adapter).await;
}

#[tokio::test]
async fn an_adapter_that_goes_away_with_deletes_says_so() {
    let (log, _listening) = events();
    let (adapter, _server) = away().await;
    adapter.delete("k").await;
    drop(adapter);
    until(|| log.count("could not delete all") == 1).await;
}

#[tokio::test]
async fn bad_keys_are_not_remembered() {
    let (adapter, _server) = away().await;
    adapter.delete("").await;
    adapter.delete_many(&["k", "a\nb"]).await;
    assert_eq!(adapter.health().deletes_pending, 0);
}
