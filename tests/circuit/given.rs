//! The circuit of a caller's connection, where calls are the probes.

use super::flaps::opened;
use super::*;

/// Through a proxy, of a connection that has answered.
async fn given(proxy: &Proxy) -> Redis {
    let client = Client::open(proxy.url()).unwrap();
    let redis = Redis::from(client.get_multiplexed_async_connection().await.unwrap());
    redis.ping().await.unwrap();
    redis
}

/// Gives a call up as soon as it is sent.
async fn give_up(redis: &Redis) {
    tokio::select! {
        biased;
        _ = redis.ping() => {}
        () = tokio::task::yield_now() => {}
    }
}

/// However long ago that was.
#[tokio::test]
async fn a_caller_that_went_away_says_nothing_of_the_server() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = given(&proxy).await;
    let mut circuits = redis.circuits();
    circuits.mark_unchanged();
    proxy.delay(Duration::from_millis(50));
    give_up(&redis).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let hurried = redis.clone().with_call_deadline(Duration::from_millis(5)).unwrap();
    hurried.ping().await.unwrap_err();
    assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
}

#[tokio::test]
async fn nor_do_two_with_little_patience_of_whom_one_came_long_after_the_other() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = given(&proxy).await;
    let hurried = redis.clone().with_call_deadline(Duration::from_millis(5)).unwrap();
    let mut circuits = redis.circuits();
    circuits.mark_unchanged();
    proxy.delay(Duration::from_millis(50));
    for _ in 0..2 {
        hurried.ping().await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(!circuits.has_changed().unwrap(), "{:?}", circuits.borrow());
}

/// Each of them says little, and all of them enough.
#[tokio::test]
async fn several_with_little_patience_open_it() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = given(&proxy).await;
    let hurried = redis.clone().with_call_deadline(Duration::from_millis(10)).unwrap();
    proxy.black_hole();
    let gone = async {
        while state(&redis) == CircuitState::Closed {
            hurried.ping().await.unwrap_err();
        }
    };
    tokio::time::timeout(HANG, gone).await.expect("it opens");
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_the_next_one_its_turn() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = given(&proxy).await.with_call_deadline(DEADLINE).unwrap();
    server.pause().unwrap();
    redis.ping().await.unwrap_err();
    let probed = async {
        while state(&redis) != CircuitState::HalfOpen {
            give_up(&redis).await;
        }
    };
    tokio::time::timeout(HANG, probed).await.expect("one is a probe");
    server.resume().unwrap();
    comes_alive(&redis).await;
    assert_eq!(state(&redis), CircuitState::Closed);
}

/// What is told while the circuit is open is that, and not what the call was told that opened it.
#[tokio::test]
async fn what_was_not_sent_is_not_said_to_have_been() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = given(&proxy).await;
    proxy.cut();
    assert!(proxy.wait_until(|stats| stats.open == 0, HANG));
    redis.ping().await.unwrap_err();
    let told = redis.ping().await.unwrap_err();
    assert!(matches!(&told, Error::Unavailable(_)), "{told:?}");
    assert!(!told.to_string().contains("may have been executed"), "{told}");
}

/// Every read closes the circuit, and every write opens it.
#[tokio::test]
async fn a_replica_closes_it_less_and_less_often() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = given(&proxy).await;
    Cache::new(redis.clone()).set("k", "v", LONG).await.unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let opened = opened(&redis, async |cache| {
        let _read = cache.get("k").await;
        cache.set("k", "w", LONG).await.unwrap_err();
    });
    let opened = opened.await;
    assert!((3..=8).contains(&opened), "{opened}");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    comes_alive(&redis).await;
}
