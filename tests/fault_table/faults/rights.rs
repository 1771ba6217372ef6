//! What a server's user may not do any more.

use auth_adapter_redis::lock::Release;
use auth_adapter_redis::{Locks, Redis};

use crate::stage::Setting;
use crate::support::{HANG, LONG};
use crate::{DEADLINE, PATIENT};

const ALL: &str = "user auth on >pw ~* &* +@all";

#[tokio::test]
async fn auth_revoked() {
    let stage = Setting::new(DEADLINE).by_user(ALL).start().await;
    stage.tell(&["ACL", "DELUSER", "auth"]);
    let found = stage.call_all_away().await;
    let again: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(ALL.split(' ').skip(1)).collect();
    stage.tell(&again);
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "AUTH revoked",
        "the user is deleted, and with it its connections",
        "what was kept before is there",
    );
}

#[tokio::test]
async fn without_commands() {
    let stage = Setting::new(PATIENT).by_user(ALL).start().await;
    stage.tell(&["ACL", "SETUSER", "auth", "-@all", "+ping"]);
    let found = stage.call_all().await;
    stage.tell(&["ACL", "SETUSER", "auth", "+@all"]);
    stage.recovers().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "ACL without the commands",
        "the user may do nothing but `PING`",
        "what was kept before is there; a lock whose release was refused is not tried again, and ends with its lease",
    );
}

/// A release still frees, and who waits asks.
#[tokio::test]
async fn without_channels() {
    let stage = Setting::new(PATIENT).by_user(ALL).start().await;
    stage.tell(&["ACL", "SETUSER", "auth", "resetchannels"]);
    let found = stage.call_all().await;
    hands_over(&stage.redis).await;
    stage.tell(&["ACL", "SETUSER", "auth", "allchannels"]);
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "ACL without the channels",
        "the user may neither publish nor subscribe",
        "what was kept before is there; meanwhile a lock was handed over to one who waited, who asked for it",
    );
}

/// To one who waits elsewhere.
async fn hands_over(redis: &Redis) {
    let [ours, theirs] = [(); 2].map(|()| Locks::new(redis.clone()));
    let held = ours.acquire("waited for", LONG, HANG).await.unwrap().guard().expect("it is free");
    let release = async {
        while ours.leases().inspect("waited for").await.unwrap().is_none_or(|of| of.waiters == 0) {
            tokio::task::yield_now().await;
        }
        assert_eq!(held.release().await.unwrap(), Release::Freed);
    };
    let (waited, ()) = tokio::join!(theirs.acquire("waited for", LONG, HANG), release);
    let guard = waited.unwrap().guard().expect("it was handed over");
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}
