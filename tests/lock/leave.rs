//! Giving up a place, and a lock that came too late.

use super::*;

async fn run_leave(redis: &Redis, holder: &str) -> Result<i64, Error> {
    let call = on_queue("lock/leave", redis).arg("holder", holder);
    call.arg("place", place_of(holder)).run().await
}

#[tokio::test]
async fn gives_0_and_takes_the_place_away() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    for digit in ['b', 'c'] {
        run_join(&redis, &holder(digit), 0).await.unwrap();
    }
    assert_eq!(run_leave(&redis, &holder('b')).await.unwrap(), 0);
    assert_eq!(run_leave(&redis, &holder('b')).await.unwrap(), 0);
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('a')), vec![holder('c')]));
}

#[tokio::test]
async fn gives_1_and_hands_over_what_was_granted_meanwhile() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    for digit in ['b', 'c'] {
        run_join(&redis, &holder(digit), 0).await.unwrap();
    }
    run_hand_over(&redis, &holder('a')).await.unwrap();
    assert_eq!(run_leave(&redis, &holder('b')).await.unwrap(), 1);
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('c')), Vec::new()));
    assert_eq!(run_leave(&redis, &holder('b')).await.unwrap(), 0);
    assert_eq!(run_leave(&redis, &holder('c')).await.unwrap(), 1);
    assert_eq!(value(&redis), None);
}

#[tokio::test]
async fn fails_wrongtype_and_changes_nothing() {
    let (locks, redis) = locks().await;
    let token = acquired(&locks, LONG).await;
    let held = value(&redis);
    raw(&redis, "RPUSH", &beside(&redis, "queue"), &["x"]);
    let outcome = locks.leave("lock", &token, &place()).await;
    assert_server(outcome, ServerErrorKind::WrongType);
    assert_eq!(value(&redis), held);
    raw(&redis, "DEL", &beside(&redis, "queue"), &[]);
    assert_eq!(locks.leave("lock", &token, &place()).await.unwrap(), Release::Freed);
    raw(&redis, "RPUSH", "lock", &["x"]);
    assert_server(run_leave(&redis, &holder('a')).await, ServerErrorKind::WrongType);
}
