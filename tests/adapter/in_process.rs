//! The lock within this process: of all tasks whose adapters share a handle one works.

use auth_adapter_redis::testing::Server;
use tokio::task::JoinHandle;

use super::support::{patient, set};
use super::*;

fn there(server: &Server) -> Option<i64> {
    server.command(&["EXISTS", "job"]).unwrap().int()
}

/// A full server refuses the first, and serves the second before the first has heard of that.
async fn the_second_is_served_while_the_first_falls_back(
    server: &Own,
    first: Arc<RedisCacheAdapter>,
    second: Arc<RedisCacheAdapter>,
) {
    assert!(first.acquire_lock("warm", LONG).await, "the server has the script from now on");
    let acquire = |adapter: &Arc<RedisCacheAdapter>| -> JoinHandle<bool> {
        let adapter = Arc::clone(adapter);
        tokio::spawn(async move { adapter.acquire_lock("job", LONG).await })
    };
    let before = server.command_calls("evalsha");
    server.proxy().delay(Duration::from_secs(1));
    set(server, "maxmemory", "1024");
    let one = acquire(&first);
    until(|| server.command_calls("evalsha") > before).await;
    set(server, "maxmemory", "0");
    let two = acquire(&second);
    until(|| there(server) == Some(1)).await;
    assert!(!one.is_finished(), "it has not heard of it");
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (true, false));

    server.proxy().pass();
    until(|| there(server) == Some(0)).await;
    assert!(!second.acquire_lock("job", LONG).await, "the first has it still");
    first.release_lock("job").await;
    assert!(second.acquire_lock("job", LONG).await);
}

async fn behind_proxy() -> (Own, Redis) {
    let server = own_behind_proxy();
    let redis = patient(&server).build().unwrap();
    comes_alive(&redis).await;
    (server, redis)
}

#[tokio::test]
async fn who_is_served_while_another_task_falls_back_gives_the_lock_back() {
    let (server, redis) = behind_proxy().await;
    let adapter = Arc::new(RedisCacheAdapter::new(redis));
    the_second_is_served_while_the_first_falls_back(&server, adapter.clone(), adapter).await;
}

#[tokio::test]
async fn so_does_who_is_served_by_another_adapter_on_the_handle() {
    let (server, redis) = behind_proxy().await;
    let first = Arc::new(RedisCacheAdapter::new(redis.clone()));
    let second = Arc::new(RedisCacheAdapter::new(redis));
    the_second_is_served_while_the_first_falls_back(&server, first, second).await;
}

/// Two adapters on a handle and on a clone of it, which knows that its server is gone.
async fn two_away() -> (RedisCacheAdapter, RedisCacheAdapter, Redis, Own) {
    let server = own();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    let clone = redis.clone().with_call_deadline(DEADLINE / 2).unwrap();
    (RedisCacheAdapter::new(redis.clone()), RedisCacheAdapter::new(clone), redis, server)
}

#[tokio::test]
async fn of_the_tasks_of_two_adapters_one_works_and_its_own_release_lets_the_other() {
    let (one, two, redis, _server) = two_away().await;
    assert!(one.acquire_lock("job", LONG).await);
    assert!(!two.acquire_lock("job", LONG).await);
    two.release_lock("job").await;
    assert!(!two.acquire_lock("job", LONG).await, "it was not its own");
    let prefixed = redis.with_prefix("another:").unwrap();
    assert!(RedisCacheAdapter::new(prefixed).acquire_lock("job", LONG).await, "another lock");
    one.release_lock("job").await;
    assert!(two.acquire_lock("job", LONG).await);
}

#[tokio::test]
async fn a_lock_of_one_adapter_keeps_the_tasks_of_the_other_out_after_the_outage() {
    let (one, two, redis, server) = two_away().await;
    let two = two.with_lock_fallback(LockFallback::Refuse);
    assert!(one.acquire_lock("job", LONG).await);
    server.restart(Data::Lost);
    comes_alive(&redis).await;
    assert!(!two.acquire_lock("job", LONG).await);
    one.release_lock("job").await;
    assert!(two.acquire_lock("job", LONG).await);
    assert_eq!(there(&server), Some(1));
}

#[tokio::test]
async fn a_lock_that_one_adapter_took_before_the_outage_keeps_the_tasks_of_the_other_out() {
    let server = own();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    let (one, two) = (RedisCacheAdapter::new(redis.clone()), RedisCacheAdapter::new(redis.clone()));
    assert!(one.acquire_lock("job", LONG).await);
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    assert!(!two.acquire_lock("job", LONG).await);
    assert!(two.acquire_lock("another job", LONG).await);
}
