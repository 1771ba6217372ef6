//! Word of a grant that comes when the grant has ended, or cannot be told from such a one: it is not
//! believed.

use std::time::Instant;

use super::support::HANG;
use super::support::target::own_behind_proxy;
use super::waiting::{direct, queued};
use super::*;

/// What it is granted for, since the grant is no longer than the lease.
const TTL: Duration = Duration::from_millis(300);

/// The only place in the queue, as it stands there: how its holder is told, its channel and the holder.
fn place(server: &Own, redis: &Redis) -> (String, String, String) {
    let queue = format!("{{{}lock}}:queue", redis.prefix());
    let places = server.command(&["ZRANGE", &queue, "0", "-1"]).unwrap();
    let [place] = places.array().unwrap() else { panic!("{places:?}") };
    let parts: Vec<_> = place.text().unwrap().splitn(5, ':').collect();
    (parts[0].to_owned(), format!("{queue}:{}", parts[3]), parts[4].to_owned())
}

/// Tells whoever waits that the lock was granted so long after now.
fn tell_of_a_grant(server: &Own, redis: &Redis, after: Duration) {
    let (way, channel, holder) = place(server, redis);
    let now = server.command(&["TIME"]).unwrap();
    let now = now.array().unwrap().iter().map(|part| part.text().unwrap().parse::<u128>().unwrap());
    let at = now.fold(0, |micros, part| micros * 1_000_000 + part) + after.as_micros();
    let publish = if way == "s" { "SPUBLISH" } else { "PUBLISH" };
    let heard = server.command(&[publish, &channel, &format!("{at}:0:{holder}")]).unwrap();
    assert_eq!(heard.int(), Some(1));
}

/// The word is on its way for longer than the grant lasts, and another has the lock when it comes.
#[tokio::test]
async fn word_that_comes_after_the_grant_has_ended_is_not_believed() {
    let server = own_behind_proxy();
    let direct = direct(&server).await;
    let locks = Locks::new(direct.clone());
    let holder = taken(&locks, LONG).await;
    let other = Locks::new(redis_on(&server).await);
    let max_wait = Duration::from_secs(3);
    let waiter = tokio::spawn(async move { other.acquire("lock", TTL, max_wait).await.unwrap() });
    queued(&direct, 1).await;
    server.proxy().freeze_present();
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let next = taken(&locks, LONG).await;
    server.proxy().thaw();
    let outcome = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
    assert!(matches!(outcome, Acquisition::Held { .. }), "{outcome:?}");
    assert!(!next.is_lost());
    assert_eq!(next.release().await.unwrap(), Release::Freed);
}

/// The server's clock goes back after a grant that was not heard of, and whoever waits asks once more:
/// word that comes after that is of a time that is still to come.
#[tokio::test]
async fn word_of_a_grant_that_is_still_to_come_is_not_believed() {
    let server = own();
    let direct = direct(&server).await;
    let locks = Locks::new(direct.clone());
    let holder = taken(&locks, LONG).await;
    let other = Locks::new(redis_on(&server).await);
    let waiter = tokio::spawn(async move { won(other.acquire("lock", LONG, LONG).await) });
    queued(&direct, 1).await;
    for after in [5, 3600] {
        let asked = server.command_calls("zadd");
        tell_of_a_grant(&server, &direct, Duration::from_secs(after));
        // It asks who has the lock.
        let began = Instant::now();
        while server.command_calls("zadd") == asked && !waiter.is_finished() {
            assert!(began.elapsed() < HANG);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(!waiter.is_finished(), "it believes in a grant {after} s ahead");
    }
    assert!(!holder.is_lost());
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let guard = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}
