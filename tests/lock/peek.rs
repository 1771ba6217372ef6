//! Who holds a lock, by its key alone.

use super::*;

#[tokio::test]
async fn gives_nil_where_it_is_free() {
    let (locks, redis) = locks().await;
    let raw: Option<(String, i64)> = on_lock("lock/peek", &redis).run().await.unwrap();
    assert_eq!(raw, None);
    assert_eq!(locks.peek("lock").await.unwrap(), None);
}

#[tokio::test]
async fn gives_holder_and_the_time_left() {
    let (locks, redis) = locks().await;
    let locks = locks.with_owner("api-1:eu:7").unwrap();
    let _token = acquired(&locks, LONG).await;
    let held = locks.peek("lock").await.unwrap().unwrap();
    assert_eq!(held.owner.as_deref(), Some("api-1:eu:7"));
    let left = held.left.unwrap();
    assert!(left <= LONG && left > LONG - Duration::from_secs(5), "{left:?}");
    raw(&redis, "SET", "lock", &["foreign"]);
    let held = locks.peek("lock").await.unwrap().unwrap();
    assert_eq!((held.owner, held.left), (None, None));
}

#[tokio::test]
async fn fails_wrongtype_where_the_key_holds_no_string() {
    let (locks, redis) = locks().await;
    raw(&redis, "LPUSH", "lock", &["x"]);
    assert_server(locks.peek("lock").await, ServerErrorKind::WrongType);
}
