//! Handles made from a caller's connection.

use super::*;
use auth_adapter_redis::redis::aio::ConnectionManager;

async fn works(redis: Redis) {
    let locks = Leases::new(redis);
    let Acquire::Acquired(token) = locks.acquire("k", LONG).await.unwrap() else {
        panic!("free");
    };
    assert_eq!(locks.release("k", &token).await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn a_callers_multiplexed_connection_serves_until_it_is_cut() {
    let server = Server::start().unwrap();
    let client = Client::open(server.url()).unwrap();
    let given = client.get_multiplexed_async_connection().await.unwrap();
    let redis = Redis::from(given).with_prefix("app:").unwrap();
    works(redis.clone()).await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    let outcome = redis.ping().await;
    assert!(matches!(outcome, Err(Error::Unanswered { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_callers_connection_manager_keeps_its_own_reconnect() {
    let server = Server::start().unwrap();
    let client = Client::open(server.url()).unwrap();
    let redis = Redis::from(ConnectionManager::new(client).await.unwrap());
    works(redis.clone()).await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    comes_alive(&redis).await;
    works(redis).await;
}

#[tokio::test]
async fn its_deadline_is_the_handles() {
    let server = Server::start().unwrap();
    let client = Client::open(server.url()).unwrap();
    let given = client.get_multiplexed_async_connection().await.unwrap();
    let redis = Redis::from(given).with_call_deadline(DEADLINE).unwrap();
    server.pause().unwrap();
    let began = Instant::now();
    assert!(redis.ping().await.unwrap_err().may_have_executed());
    assert!(began.elapsed() < DEADLINE + SLACK, "{:?}", began.elapsed());
    server.resume().unwrap();
    set(&server, "maxmemory", "0");
}
