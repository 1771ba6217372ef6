//! A full server refuses what grows. What ends a session goes on.

use auth_adapter_redis::refresh::{Reuse, Revoke, Rotate};

use crate::LATER;
use crate::stage::Stage;
use crate::support::set;
use crate::support::target::own;

#[tokio::test]
async fn a_full_server_still_ends_a_family() {
    let stage = Stage::on(own()).await;
    let first = stage.first().await;
    stage.next(&first).await;
    stage.age(LATER);
    set(stage.server(), "maxmemory", "1024");
    assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Previous });
    assert_eq!(stage.check().await, "revoked");
}

#[tokio::test]
async fn a_full_server_still_revokes() {
    let stage = Stage::on(own()).await;
    let token = stage.first().await;
    set(stage.server(), "maxmemory", "1024");
    assert_eq!(stage.tokens.revoke(&token).await.unwrap(), Revoke::Ended);
    assert_eq!(stage.check().await, "revoked");
}
