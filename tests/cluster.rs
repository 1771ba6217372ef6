//! A handle made from a caller's cluster connection: what keys may go together, and what is
//! refused before anything is sent.
#![cfg(feature = "cluster")]

mod support;

use auth_adapter_redis::key::{Keys, Layout, SessionId, UserId, slot};
use auth_adapter_redis::lock::{Acquire, Release};
use auth_adapter_redis::redis::cluster::ClusterClient;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Cache, CacheAdapter, Error, Locks, Redis, RedisCacheAdapter};
use support::{HANG, LONG};

/// One node that serves every slot.
async fn cluster() -> (Server, Redis) {
    let server = Server::builder().args(["--cluster-enabled", "yes"]).start().unwrap();
    let mut add = vec!["CLUSTER".to_owned(), "ADDSLOTS".to_owned()];
    add.extend((0..16384).map(|slot: u16| slot.to_string()));
    let add: Vec<&str> = add.iter().map(String::as_str).collect();
    assert_eq!(server.command(&add).unwrap().text(), Some("OK"));
    let serves = async {
        while server.command(&["GET", "k"]).unwrap().is_error() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, serves).await.expect("the cluster comes up");
    let client = ClusterClient::new(vec![server.url()]).unwrap();
    let redis = Redis::from(client.get_async_connection().await.unwrap());
    (server, redis.with_call_deadline(LONG).unwrap())
}

/// Two keys of different slots.
const APART: [&str; 2] = ["a", "b"];

#[tokio::test]
async fn the_locks_work_and_a_flush_does_not_show() {
    let (server, redis) = cluster().await;
    assert!(redis.is_cluster());
    let locks = Locks::new(redis);
    let Acquire::Acquired(token) = locks.acquire("lock", LONG).await.unwrap() else {
        panic!("it is free")
    };
    server.flush_scripts().unwrap();
    let outcome = locks.acquire("lock", LONG).await.unwrap();
    assert!(matches!(outcome, Acquire::Held { .. }), "{outcome:?}");
    assert!(locks.inspect("lock").await.unwrap().is_some());
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    assert_eq!(locks.inspect("lock").await.unwrap(), None);
}

#[tokio::test]
async fn keys_of_several_slots_are_refused_before_anything_is_sent() {
    let (server, redis) = cluster().await;
    assert_ne!(slot(APART[0].as_bytes()), slot(APART[1].as_bytes()));
    let cache = Cache::new(redis.with_prefix("app:").unwrap());
    let error = cache.delete_many(&APART).await.unwrap_err();
    let Error::CrossSlot { first, second } = &error else { panic!("{error:?}") };
    assert_eq!((&**first, &**second), ("app:a", "app:b"));
    assert!(error.to_string().contains("hash tag"), "{error}");
    assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
    for key in ["{t}a", "{t}b"] {
        cache.set(key, "v", LONG).await.unwrap();
    }
    assert_eq!(cache.delete_many(&["{t}a", "{t}b", "{t}c"]).await.unwrap(), 2);
}

#[tokio::test]
async fn the_adapter_deletes_keys_of_any_slots() {
    let (server, redis) = cluster().await;
    let adapter = RedisCacheAdapter::new(redis);
    let keys: Vec<_> = (0..500).map(|at| format!("k{at}")).collect();
    for key in &keys {
        adapter.set(key, "v", LONG).await;
    }
    assert_eq!(server.command(&["DBSIZE"]).unwrap().int(), Some(500));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    adapter.delete_many(&keys).await;
    assert_eq!(server.command(&["DBSIZE"]).unwrap().int(), Some(0));
    assert_eq!(adapter.health().swallowed.total(), 0);
    adapter.delete_many(&["k", ""]).await;
    assert_eq!(adapter.health().rejected.delete_many, 1);
}

#[tokio::test]
async fn the_keys_of_a_user_go_together_by_default() {
    let (_server, redis) = cluster().await;
    let keys = redis.keys();
    assert_eq!(keys.layout(), Layout::HashTagged);
    let (user, session) = (UserId::new("42").unwrap(), SessionId::new("abc").unwrap());
    let of_user = [keys.user(&user), keys.session_active(&user, &session)];
    let cache = Cache::new(redis.clone());
    for key in &of_user {
        cache.set(key, "v", Keys::USER_TTL).await.unwrap();
    }
    assert_eq!(cache.delete_many(&of_user).await.unwrap(), 2);
    let plain = redis.with_layout(Layout::Plain).keys();
    let of_user = [plain.user(&user), plain.session_active(&user, &session)];
    let outcome = cache.delete_many(&of_user).await;
    assert!(matches!(outcome, Err(Error::CrossSlot { .. })), "{outcome:?}");
}

#[tokio::test]
async fn every_script_is_loaded() {
    let (server, redis) = cluster().await;
    library().load(&redis).await.unwrap();
    Locks::new(redis).inspect("lock").await.unwrap();
    assert_eq!(server.command_calls("eval"), 0);
}

#[tokio::test]
async fn a_node_that_stands_still_costs_one_deadline() {
    let (server, redis) = cluster().await;
    let deadline = std::time::Duration::from_millis(200);
    let redis = redis.with_call_deadline(deadline).unwrap();
    server.pause().unwrap();
    let began = std::time::Instant::now();
    let adapter = RedisCacheAdapter::new(redis);
    assert!(!adapter.is_available().await);
    assert_eq!(adapter.get("k").await, None);
    assert!(began.elapsed() < deadline * 2 + support::SLACK, "{:?}", began.elapsed());
    server.resume().unwrap();
}
