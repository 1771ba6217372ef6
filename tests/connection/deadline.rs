//! One deadline for a call, whatever the server does.

use super::*;

#[tokio::test]
async fn a_server_that_stands_still_costs_one_deadline_a_call() {
    let server = Server::start().unwrap();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    server.pause().unwrap();
    let began = Instant::now();
    let outcome = Cache::new(redis.clone()).get("k").await;
    let took = began.elapsed();
    assert!(outcome.unwrap_err().may_have_executed());
    assert!((DEADLINE..DEADLINE + SLACK).contains(&took), "{took:?}");
    server.resume().unwrap();
    comes_alive(&redis).await;
}

#[tokio::test]
async fn ten_thousand_calls_into_a_black_hole_end_together_and_leave_no_queue() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = through(&proxy).await;
    proxy.black_hole();
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for at in 0..10_000 {
        let cache = Cache::new(redis.clone());
        calls.spawn(async move { cache.get(&format!("k{at}")).await });
    }
    for outcome in calls.join_all().await {
        assert!(outcome.is_err());
    }
    let took = began.elapsed();
    assert!(took < DEADLINE * 2 + SLACK * 4, "{took:?}");
    // What was put on the way is lost with its connection.
    until(|| proxy.connections() > 1).await;
    proxy.pass();
    comes_alive(&redis).await;
    let before = server.command_calls("get");
    assert_eq!(before, 0, "nothing of what timed out is sent afterwards");
}

#[tokio::test]
async fn an_unknown_acquire_is_resolved_by_its_token() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let locks = Leases::new(through(&proxy).await);
    // The server has the script from now on.
    assert!(matches!(locks.acquire("other", LONG).await, Ok(Acquire::Acquired(_))));
    proxy.silence_replies();
    let outcome = locks.acquire("k", LONG).await.unwrap();
    let Acquire::Unknown { token, error } = outcome else { panic!("{outcome:?}") };
    assert!(matches!(error, Error::Unanswered { .. }), "{error:?}");
    let taken = server.command(&["GET", "k"]).unwrap();
    assert!(taken.text().is_some(), "{taken:?}");
    proxy.pass();
    let again = loop {
        match locks.retry_acquire("k", token.clone(), LONG).await {
            Ok(Acquire::Unknown { .. }) | Err(_) => {}
            Ok(outcome) => break outcome,
        }
    };
    assert!(matches!(again, Acquire::Acquired(_)), "{again:?}");
    assert_eq!(server.command(&["GET", "k"]).unwrap(), taken, "one hold, not two");
    assert_eq!(locks.release("k", &token).await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn bytes_that_are_no_reply_are_told_in_one_line() {
    let (log, _listening) = events();
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = through(&proxy).await;
    proxy.garbage();
    let told = redis.ping().await.unwrap_err().to_string();
    is_down(&redis).await;
    let refused = redis.ping().await.unwrap_err().to_string();
    for text in [told, refused] {
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert_eq!(log.count("redis is away"), 1, "{}", log.text());
    assert!(log.text().lines().all(|line| line.contains("redis")), "{}", log.text());
}
