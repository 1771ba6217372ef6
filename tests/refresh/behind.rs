//! Redis is behind the database, and is brought up to it.

use std::time::Duration;

use auth_adapter_redis::refresh::{Issue, Reuse, Rotate};

use crate::stage::{Stage, response};

/// Redis came back from an old snapshot, or missed some rotations.
#[tokio::test]
async fn it_brings_redis_up_to_what_the_database_says() {
    let stage = Stage::new().await;
    let first = stage.first().await;
    let third = first.next().unwrap().next().unwrap();
    let fourth = third.next().unwrap();
    assert_eq!(stage.rotate(&third, &fourth).await, Rotate::Unknown);
    assert_eq!(stage.tokens.issue(&third).await.unwrap(), Issue::Issued);
    assert!(matches!(stage.rotate(&third, &fourth).await, Rotate::Rotated { .. }));
    assert_eq!(stage.present(&third).await, Rotate::Replayed { response: response(&fourth) });
}

/// As it was a moment ago for all that Redis knows, so the slow tab ends nothing.
#[tokio::test]
async fn an_older_token_is_superseded_for_five_seconds_after_it() {
    let stage = Stage::new().await;
    let first = stage.first().await;
    let third = first.next().unwrap().next().unwrap();
    assert_eq!(stage.tokens.issue(&third).await.unwrap(), Issue::Issued);
    assert_eq!(stage.present(&first).await, Rotate::Superseded);
    stage.age(Duration::from_secs(6));
    assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Older });
}
