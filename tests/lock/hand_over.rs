//! Releasing a lock to whoever waits for it.

use super::acquire_fenced::counter;
use super::*;

#[tokio::test]
async fn gives_1_and_frees_a_lock_for_which_nobody_waits() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 1);
    assert_eq!(value(&redis), None);
}

#[tokio::test]
async fn gives_1_and_grants_it_to_the_first_for_a_short_lease() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    for digit in ['b', 'c'] {
        run_join(&redis, &holder(digit), 0).await.unwrap();
    }
    assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 1);
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('b')), vec![holder('c')]));
    assert!((1..=1000).contains(&pttl(&redis)));
    // Executed once more, it takes nothing from the next.
    assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 0);
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('b')), vec![holder('c')]));
}

#[tokio::test]
async fn gives_0_where_another_holds_it_and_wakes_nobody() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    run_join(&redis, &holder('b'), 0).await.unwrap();
    assert_eq!(run_hand_over(&redis, &holder('c')).await.unwrap(), 0);
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('a')), vec![holder('b')]));
    expire(&redis);
    assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 0);
    assert_eq!((value(&redis), queue(&redis)), (None, vec![holder('b')]));
}

#[tokio::test]
async fn those_whom_nobody_hears_for_are_dropped() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    let gone = format!("p:0:1000:{}:{}", "0".repeat(32), holder('b'));
    run_join_at(&redis, &holder('b'), &gone, 0).await.unwrap();
    raw(&redis, "ZADD", &beside(&redis, "queue"), &["1", "what nobody of us wrote"]);
    run_join(&redis, &holder('c'), 0).await.unwrap();
    assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 1);
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('c')), Vec::new()));
    // All are gone: it is free.
    run_join_at(&redis, &holder('b'), &gone, 0).await.unwrap();
    assert_eq!(run_hand_over(&redis, &holder('c')).await.unwrap(), 1);
    assert_eq!((value(&redis), queue(&redis)), (None, Vec::new()));
}

#[tokio::test]
async fn a_place_that_wants_a_fence_gets_one_unless_the_counter_is_something_else() {
    let redis = redis().await;
    for foreign in [None, Some("SET"), Some("RPUSH")] {
        raw(&redis, "DEL", &counter(&redis), &[]);
        raw(&redis, "DEL", "lock", &[]);
        run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
        let place = format!("n:1:1000::{}", holder('b'));
        run_join_at(&redis, &holder('b'), &place, 0).await.unwrap();
        if let Some(command) = foreign {
            raw(&redis, command, &counter(&redis), &["foreign"]);
        }
        assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 1);
        if foreign.is_some() {
            assert_eq!((value(&redis), queue(&redis)), (None, Vec::new()));
        } else {
            let counted = raw(&redis, "GET", &counter(&redis), &[]).text().unwrap().to_owned();
            assert_eq!(value(&redis), Some(holder('b')));
            assert!(counted.ends_with(&format!(":{}", holder('b'))), "{counted}");
        }
    }
}

#[tokio::test]
async fn a_full_server_still_hands_over() {
    let server = own();
    let redis = redis_on(&server).await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    let place = format!("n:1:1000::{}", holder('b'));
    run_join_at(&redis, &holder('b'), &place, 0).await.unwrap();
    support::set(&server, "maxmemory", "1024");
    assert_eq!(run_hand_over(&redis, &holder('a')).await.unwrap(), 1);
    let has = |key: &str| raw_on(&server, &redis, "GET", key, &[]).text().unwrap().to_owned();
    assert_eq!(has("lock"), holder('b'));
    assert!(has(&counter(&redis)).ends_with(&holder('b')));
}

#[tokio::test]
async fn fails_wrongtype_and_the_lock_is_released_alone() {
    let (locks, redis) = locks().await;
    let token = acquired(&locks, LONG).await;
    raw(&redis, "RPUSH", &beside(&redis, "queue"), &["x"]);
    let held = value(&redis).unwrap();
    assert_server(run_hand_over(&redis, &held).await, ServerErrorKind::WrongType);
    assert_eq!(value(&redis), Some(held));
    assert_eq!(locks.hand_over("lock", &token).await.unwrap(), Release::Freed);
    assert_eq!(value(&redis), None);
    raw(&redis, "RPUSH", "lock", &["x"]);
    assert_server(run_hand_over(&redis, &holder('a')).await, ServerErrorKind::WrongType);
}
