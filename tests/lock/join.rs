//! Taking a lock or a place in its queue.

use auth_adapter_redis::Fence;

use super::acquire_fenced::counter;
use super::*;

fn fenced_place(holder: &str) -> String {
    format!("n:1:1000::{holder}")
}

#[tokio::test]
async fn gives_acquired_and_takes_a_free_lock() {
    let redis = redis().await;
    let (left, fence, now) = run_join(&redis, &holder('a'), 0).await.unwrap();
    assert_eq!((left, fence, value(&redis)), (0, 0, Some(holder('a'))));
    assert!(now > 1_700_000_000_000_000, "{now}");
    assert!((LEASE - 5_000..=LEASE).contains(&pttl(&redis)));
    assert_eq!(queue(&redis), [""; 0]);
    assert_eq!(raw(&redis, "EXISTS", &counter(&redis), &[]).int(), Some(0));
}

#[tokio::test]
async fn gives_held_and_a_place_by_when_one_came() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    for (digit, waited) in [('b', 1_000_000), ('c', 0), ('d', 2_000_000)] {
        let (left, fence, _) = run_join(&redis, &holder(digit), waited).await.unwrap();
        assert!((LEASE - 5_000..=LEASE).contains(&left) && fence == 0, "{left}");
    }
    assert_eq!(queue(&redis), [holder('d'), holder('b'), holder('c')]);
    // Once more, it keeps the place.
    run_join(&redis, &holder('c'), 5_000_000).await.unwrap();
    assert_eq!(queue(&redis), [holder('d'), holder('b'), holder('c')]);
    let lasts = raw(&redis, "PTTL", &beside(&redis, "queue"), &[]).int().unwrap();
    assert!((1..=60_000).contains(&lasts), "{lasts}");
    raw(&redis, "PERSIST", "lock", &[]);
    assert_eq!(run_join(&redis, &holder('c'), 0).await.unwrap().0, -1);
}

#[tokio::test]
async fn a_free_lock_goes_to_whoever_came_first() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    for digit in ['b', 'c'] {
        run_join(&redis, &holder(digit), 0).await.unwrap();
    }
    expire(&redis);
    let (left, ..) = run_join(&redis, &holder('c'), 0).await.unwrap();
    assert!((1..=1000).contains(&left), "the grant of another: {left}");
    assert_eq!((value(&redis), queue(&redis)), (Some(holder('b')), vec![holder('c')]));
    // It finds its own.
    assert_eq!(run_join(&redis, &holder('b'), 0).await.unwrap().0, 0);
    assert!(pttl(&redis) > LEASE - 5_000);
    assert_eq!(queue(&redis), [holder('c')]);
}

#[tokio::test]
async fn a_lock_that_it_has_is_kept_and_its_lease_never_shortened() {
    let redis = redis().await;
    raw(&redis, "SET", "lock", &[&holder('a'), "PX", "120000"]);
    let place = fenced_place(&holder('a'));
    let (left, fence, now) = run_join_at(&redis, &holder('a'), &place, 0).await.unwrap();
    assert_eq!((left, fence), (0, now), "the first fence is the server's time");
    assert!(pttl(&redis) > LEASE);
    let again = run_join_at(&redis, &holder('a'), &place, 0).await.unwrap();
    assert_eq!((again.0, again.1), (0, fence), "the same fence");
    assert_eq!(queue(&redis), [""; 0]);
}

#[tokio::test]
async fn a_fence_is_minted_with_the_lock_alone() {
    let (locks, redis) = locks().await;
    let token = acquired(&locks, LONG).await;
    let other = acquired_by_another(&locks).await;
    let outcome = locks.join("lock", &other, LONG, &place().with_fence(), SHORT).await.unwrap();
    assert!(matches!(outcome, Join::Queued { left: Some(_), at: 1.. }), "{outcome:?}");
    assert_eq!(raw(&redis, "EXISTS", &counter(&redis), &[]).int(), Some(0));
    assert_eq!(locks.hand_over("lock", &token).await.unwrap(), Release::Freed);
    let counted = raw(&redis, "GET", &counter(&redis), &[]).text().unwrap().to_owned();
    let outcome = locks.join("lock", &other, LONG, &place().with_fence(), SHORT).await.unwrap();
    let Join::Acquired { fence: Some(fence) } = outcome else { panic!("{outcome:?}") };
    assert_eq!(counted, format!("{fence}:{}", value(&redis).unwrap()), "that of the grant");
    assert!(fence > Fence::from_u64(1).unwrap());
}

/// A token of one who has no lock.
async fn acquired_by_another(locks: &Leases) -> LockToken {
    match locks.acquire("other", LONG).await.unwrap() {
        Acquire::Acquired(token) => token,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn fails_wrongtype_and_changes_nothing() {
    let (locks, redis) = locks().await;
    let token = acquired_by_another(&locks).await;
    for key in ["lock", &beside(&redis, "queue"), &counter(&redis)] {
        raw(&redis, "RPUSH", key, &["x"]);
        let outcome = locks.join("lock", &token, LONG, &place().with_fence(), SHORT).await;
        assert_server(outcome, ServerErrorKind::WrongType);
        for other in ["lock", &beside(&redis, "queue"), &counter(&redis)] {
            let there = raw(&redis, "EXISTS", other, &[]).int();
            assert_eq!(there, Some(i64::from(other == key)), "{key}: {other}");
        }
        raw(&redis, "DEL", key, &[]);
    }
}

#[tokio::test]
async fn fails_badvalue_where_the_counter_is_something_else() {
    let redis = redis().await;
    raw(&redis, "SET", &counter(&redis), &["foreign"]);
    let place = fenced_place(&holder('a'));
    let error = run_join_at(&redis, &holder('a'), &place, 0).await.unwrap_err();
    assert!(error.to_string().contains("BADVALUE"), "{error}");
    assert_eq!((value(&redis), queue(&redis)), (None, Vec::new()));
    // Without a fence it is nobody's business.
    assert_eq!(run_join(&redis, &holder('a'), 0).await.unwrap().0, 0);
}

#[tokio::test]
async fn fails_oom_on_a_full_server_and_takes_nothing() {
    let server = full_server();
    let redis = redis_on(&server).await;
    assert_server(run_join(&redis, &holder('a'), 0).await, ServerErrorKind::OutOfMemory);
    assert_eq!(raw_on(&server, &redis, "EXISTS", "lock", &[]).int(), Some(0));
    assert_eq!(raw_on(&server, &redis, "EXISTS", &beside(&redis, "queue"), &[]).int(), Some(0));
}
