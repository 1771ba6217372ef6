//! A handle made from a caller's cluster connection, which routes and reconnects in its own way.

use super::*;
use auth_adapter_redis::key::{Keys, Layout, SessionId, UserId};
use auth_adapter_redis::redis::cluster::ClusterClient;

async fn given() -> (Cluster, Redis) {
    let cluster = Cluster::builder().primaries(3).replicas_each(0).start().unwrap();
    let nodes: Vec<_> = cluster.nodes().iter().map(Server::url).collect();
    let client = ClusterClient::new(nodes).unwrap();
    let redis = Redis::from(client.get_async_connection().await.unwrap());
    (cluster, redis.with_call_deadline(LONG).unwrap())
}

#[tokio::test]
async fn the_locks_work_and_a_flush_does_not_show() {
    let (cluster, redis) = given().await;
    assert!(redis.is_cluster());
    let locks = Leases::new(redis);
    let Acquire::Acquired(token) = locks.acquire("lock", LONG).await.unwrap() else {
        panic!("it is free")
    };
    cluster.flush_scripts().unwrap();
    let outcome = locks.acquire("lock", LONG).await.unwrap();
    assert!(matches!(outcome, Acquire::Held { .. }), "{outcome:?}");
    assert!(locks.inspect("lock").await.unwrap().is_some());
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    assert_eq!(locks.inspect("lock").await.unwrap(), None);
}

#[tokio::test]
async fn keys_of_any_slots_are_deleted_and_one_call_takes_those_of_one() {
    let (_cluster, redis) = given().await;
    let cache = Cache::new(redis);
    let outcome = cache.delete_many(&["a", "b"]).await;
    assert!(matches!(outcome, Err(Error::CrossSlot { .. })), "{outcome:?}");
    let keys: Vec<_> = (0..100).map(|at| format!("k{at}")).collect();
    for key in &keys {
        cache.set(key, "v", LONG).await.unwrap();
    }
    assert_eq!(cache.delete_many_by_slot(&keys).await.unwrap(), 100);
}

#[tokio::test]
async fn the_keys_of_a_user_go_together_by_default() {
    let (_cluster, redis) = given().await;
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
    let (cluster, redis) = given().await;
    library().load(&redis).await.unwrap();
    Leases::new(redis).inspect("lock").await.unwrap();
    assert_eq!(cluster.command_calls("eval"), 0);
}
