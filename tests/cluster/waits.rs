//! Waiting for a lock whose slot moves.

use auth_adapter_redis::Locks;
use auth_adapter_redis::guard::Acquisition;

use super::*;

#[tokio::test]
async fn while_a_slot_moves_one_waits_by_the_lock_alone() {
    let (cluster, redis) = primaries(2).await;
    let (locks, others) = (Locks::new(redis.clone()), Locks::new(redis));
    let holder = locks.try_acquire("{t}lock", LONG).await.unwrap().guard().expect("it is free");
    let from = cluster.primary_of_key("t").unwrap();
    let to = cluster.nodes().iter().find(|node| node.port() != from.port()).unwrap();
    let half = cluster.begin_move(slot(b"t"), to).unwrap();
    let outcome = others.acquire("{t}lock", LONG, DEADLINE).await;
    assert!(matches!(outcome, Ok(Acquisition::Held { left: Some(_) })), "{outcome:?}");
    let waiter = tokio::spawn(async move { others.acquire("{t}lock", LONG, LONG).await });
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let outcome = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
    let guard = outcome.unwrap().guard().expect("it was released");
    half.finish().unwrap();
    assert!(!guard.is_lost());
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}
