//! The scripts of this crate on a real server.

use std::time::Duration;

use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Redis, ServerErrorKind};
use downstream::{Seats, library};

/// A server, and a handle on it that no busy machine fails.
async fn house() -> (Server, Redis) {
    let server = Server::start().unwrap();
    let patience = Duration::from_secs(10);
    let redis = Redis::builder().url(server.url()).prefix("house:").call_deadline(patience);
    let redis = redis.build().unwrap();
    redis.connected().await;
    (server, redis)
}

/// EVALSHA and EVAL calls that a server has counted.
fn calls(server: &Server) -> (u64, u64) {
    (server.command_calls("evalsha"), server.command_calls("eval"))
}

#[tokio::test]
async fn a_seat_is_the_first_guests() {
    let (server, redis) = house().await;
    let seats = Seats::new(redis);
    assert!(seats.claim("a1", "ada").await.unwrap());
    assert!(seats.claim("a1", "ada").await.unwrap(), "a repeat changes nothing");
    assert!(!seats.claim("a1", "bob").await.unwrap());
    assert_eq!(server.command(&["GET", "house:a1"]).unwrap().text(), Some("ada"));
}

#[tokio::test]
async fn any_number_of_seats_is_counted_in_one_call() {
    let (server, redis) = house().await;
    let seats = Seats::new(redis);
    for seat in ["a1", "a2", "b7"] {
        assert!(seats.claim(seat, "ada").await.unwrap());
    }
    assert_eq!(seats.count(&["a1", "a2", "a3"], "ada").await.unwrap(), 2);
    assert_eq!(seats.count(&["a1", "a2"], "bob").await.unwrap(), 0);
    assert_eq!(seats.count(&[], "ada").await.unwrap(), 0);
    assert_eq!(calls(&server), (6, 2), "each script was brought once");
}

#[tokio::test]
async fn a_server_that_forgets_the_scripts_between_two_calls_is_told_again() {
    let (server, redis) = house().await;
    let seats = Seats::new(redis.clone());
    library().load(&redis).await.unwrap();
    for round in 0..3 {
        assert!(seats.claim("a1", "ada").await.unwrap());
        assert_eq!(seats.count(&["a1"], "ada").await.unwrap(), 1);
        assert_eq!(calls(&server), (2 + 2 * round, 2 * round));
        server.flush_scripts().unwrap();
    }
}

#[tokio::test]
async fn an_error_of_the_script_is_the_servers() {
    let (server, redis) = house().await;
    let seats = Seats::new(redis);
    server.command(&["LPUSH", "house:a1", "x"]).unwrap();
    let claimed = seats.claim("a1", "ada").await.map(i64::from);
    for outcome in [claimed, seats.count(&["a1"], "ada").await] {
        let kind = outcome.unwrap_err().server_kind();
        assert_eq!(kind, Some(ServerErrorKind::WrongType));
    }
}

#[test]
fn the_header_of_each_script_is_read() {
    let names: Vec<_> = library().iter().map(|script| script.name()).collect();
    assert_eq!(names, ["seat/claim", "seat/count"]);
    let claim = library().get("seat/claim").unwrap();
    assert_eq!(claim.contract().fails, ["WRONGTYPE", "OOM"]);
    assert!(claim.source().contains("local function is_theirs"), "the fragment is in place");
    assert!(!claim.source().contains("@include"));
    assert!(library().get("seat/count").unwrap().contract().keys[0].variadic);
    assert!(library().get("shared/is_theirs").is_none());
}
