//! Who holds a lock, under which fence.

use super::acquire_fenced::{counter, fenced};
use super::*;

async fn run_inspect(redis: &Redis) -> Result<Option<(String, i64, String)>, Error> {
    on_lock("lock/inspect_fenced", redis).key("fence", &counter(redis)).run().await
}

#[tokio::test]
async fn gives_nil_where_it_is_free_whatever_the_counter_has() {
    let (locks, redis) = locks().await;
    assert_eq!(run_inspect(&redis).await.unwrap(), None);
    let _fenced = fenced(&locks).await;
    expire(&redis);
    assert_eq!(run_inspect(&redis).await.unwrap(), None);
    assert_eq!(locks.inspect_fenced("lock").await.unwrap(), None);
}

#[tokio::test]
async fn gives_holder_and_the_time_left_and_its_fence() {
    let (locks, redis) = locks().await;
    let (_, fence) = fenced(&locks).await;
    let (lock, left, counted) = run_inspect(&redis).await.unwrap().unwrap();
    assert_eq!(value(&redis), Some(lock.clone()));
    assert_eq!(counted, format!("{fence}:{lock}"));
    assert!(left > LEASE - 5_000);
    let seen = locks.inspect_fenced("lock").await.unwrap().unwrap();
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
    let seen = locks.inspect_fenced("lock").await.unwrap().unwrap();
    assert_eq!((seen.owner.as_deref(), seen.fence), (Some("test"), None));
    raw(&redis, "SET", "lock", &["foreign"]);
    let seen = locks.inspect_fenced("lock").await.unwrap().unwrap();
    assert_eq!((seen.owner, seen.left, seen.fence), (None, None, None));
    raw(&redis, "SET", &counter(&redis), &["foreign too"]);
    assert_eq!(locks.inspect_fenced("lock").await.unwrap().unwrap().fence, None);
}

#[tokio::test]
async fn fails_wrongtype_where_either_key_holds_no_string() {
    let (locks, redis) = locks().await;
    raw(&redis, "LPUSH", "lock", &["x"]);
    assert_server(locks.inspect_fenced("lock").await, ServerErrorKind::WrongType);
    raw(&redis, "DEL", "lock", &[]);
    raw(&redis, "SET", "lock", &["x"]);
    raw(&redis, "LPUSH", &counter(&redis), &["x"]);
    assert_server(locks.inspect_fenced("lock").await, ServerErrorKind::WrongType);
}
