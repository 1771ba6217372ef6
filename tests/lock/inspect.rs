//! Who holds a lock, under which fence, and how many wait.

use super::acquire_fenced::{counter, fenced};
use super::*;

async fn run_inspect(redis: &Redis) -> Result<Option<(String, i64, String, i64)>, Error> {
    on_queue("lock/inspect", redis).run().await
}

#[tokio::test]
async fn gives_nil_where_it_is_free_whatever_the_counter_has() {
    let (locks, redis) = locks().await;
    assert_eq!(run_inspect(&redis).await.unwrap(), None);
    let _fenced = fenced(&locks).await;
    expire(&redis);
    assert_eq!(run_inspect(&redis).await.unwrap(), None);
    assert_eq!(locks.inspect("lock").await.unwrap(), None);
}

#[tokio::test]
async fn gives_holder_and_the_time_left_and_its_fence() {
    let (locks, redis) = locks().await;
    let (_, fence) = fenced(&locks).await;
    let (lock, left, counted, waiters) = run_inspect(&redis).await.unwrap().unwrap();
    assert_eq!(value(&redis), Some(lock.clone()));
    assert_eq!(counted, format!("{fence}:{lock}"));
    assert!(left > LEASE - 5_000 && waiters == 0);
    let seen = locks.inspect("lock").await.unwrap().unwrap();
    assert_eq!((seen.owner.as_deref(), seen.fence), (Some("test"), Some(fence)));
    assert!(seen.left.unwrap() > LONG - Duration::from_secs(5));
    let shown = format!("{seen:?}");
    assert!(!shown.contains(&lock[..32]), "{shown}");
}

#[tokio::test]
async fn the_fence_of_a_hold_before_is_not_told_for_this_one() {
    let (locks, redis) = locks().await;
    let _before = fenced(&locks).await;
    expire(&redis);
    let _unfenced = acquired(&locks, LONG).await;
    let seen = locks.inspect("lock").await.unwrap().unwrap();
    assert_eq!((seen.owner.as_deref(), seen.fence), (Some("test"), None));
    raw(&redis, "SET", "lock", &["foreign"]);
    let seen = locks.inspect("lock").await.unwrap().unwrap();
    assert_eq!((seen.owner, seen.left, seen.fence), (None, None, None));
    raw(&redis, "SET", &counter(&redis), &["foreign too"]);
    assert_eq!(locks.inspect("lock").await.unwrap().unwrap().fence, None);
}

#[tokio::test]
async fn those_who_wait_are_counted() {
    let (locks, redis) = locks().await;
    let _token = acquired(&locks, LONG).await;
    for (digit, waiters) in [('a', 1), ('b', 2), ('a', 2)] {
        run_join(&redis, &holder(digit), 0).await.unwrap();
        assert_eq!(locks.inspect("lock").await.unwrap().unwrap().waiters, waiters);
    }
}

#[tokio::test]
async fn a_foreign_lock_has_no_owner_of_ours() {
    let (locks, redis) = locks().await;
    for foreign in ["", "x", &"a".repeat(40), &format!("{}-o", "a".repeat(32)), "日本語"] {
        raw(&redis, "SET", "lock", &[foreign]);
        let info = locks.inspect("lock").await.unwrap().unwrap();
        assert_eq!((info.owner, info.left), (None, None), "{foreign}");
    }
}

#[tokio::test]
async fn fails_wrongtype_where_a_key_holds_something_else() {
    let (locks, redis) = locks().await;
    raw(&redis, "LPUSH", "lock", &["x"]);
    assert_server(locks.inspect("lock").await, ServerErrorKind::WrongType);
    raw(&redis, "DEL", "lock", &[]);
    raw(&redis, "SET", "lock", &["x"]);
    raw(&redis, "LPUSH", &counter(&redis), &["x"]);
    assert_server(locks.inspect("lock").await, ServerErrorKind::WrongType);
    raw(&redis, "DEL", &counter(&redis), &[]);
    raw(&redis, "LPUSH", &beside(&redis, "queue"), &["x"]);
    assert_server(locks.inspect("lock").await, ServerErrorKind::WrongType);
}
