//! A node that is gone: nobody waits for it twice.

use super::*;

/// No task waits twice, and all calls take one deadline and what failing at once costs.
async fn all_end_within_one_deadline(redis: &Redis) {
    let first = calls(redis).await;
    assert_ne!(state(redis), CircuitState::Closed);
    assert!(first.waited <= TASKS, "each waits once at the most: {}", first.waited);
    // The cost of failing at once, on this machine and at this time.
    let again = calls(redis).await;
    assert_eq!(again.waited, 0);
    let all = DEADLINE + again.took * 2 + SLACK;
    assert!(first.took < all, "{:?} is more than {all:?}", first.took);
}

#[tokio::test]
async fn ten_thousand_calls_to_a_server_that_was_killed() {
    let server = Server::start().unwrap();
    let redis = handle(server.url()).await;
    server.kill().unwrap();
    all_end_within_one_deadline(&redis).await;
}

#[tokio::test]
async fn ten_thousand_calls_to_a_server_that_stands_still() {
    let server = Server::start().unwrap();
    let redis = handle(server.url()).await;
    server.pause().unwrap();
    all_end_within_one_deadline(&redis).await;
    server.resume().unwrap();
    closes(&redis).await;
    comes_alive(&redis).await;
}

#[tokio::test]
async fn ten_thousand_calls_into_a_black_hole() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = handle(proxy.url()).await;
    proxy.black_hole();
    all_end_within_one_deadline(&redis).await;
    proxy.pass();
    closes(&redis).await;
}

#[tokio::test]
async fn ten_thousand_calls_after_a_cut_while_the_next_connection_hangs() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = handle(proxy.url()).await;
    proxy.black_hole();
    proxy.cut();
    all_end_within_one_deadline(&redis).await;
    proxy.pass();
    closes(&redis).await;
}

#[tokio::test]
async fn ten_thousand_calls_on_a_callers_connections() {
    let server = Server::start().unwrap();
    let client = Client::open(server.url()).unwrap();
    let multiplexed = client.get_multiplexed_async_connection().await.unwrap();
    let manager = ConnectionManager::new(client).await.unwrap();
    server.pause().unwrap();
    for redis in [Redis::from(multiplexed), Redis::from(manager)] {
        let redis = redis.with_call_deadline(DEADLINE).unwrap();
        let first = calls(&redis).await;
        // A call is the probe, one at a time.
        assert!(first.waited <= TASKS + 4, "{}", first.waited);
        assert_ne!(state(&redis), CircuitState::Closed);
    }
    server.resume().unwrap();
}
