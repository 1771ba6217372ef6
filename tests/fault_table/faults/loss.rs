//! What a server forgets.

use std::time::{Duration, SystemTime};

use auth_adapter_redis::lock::{Acquire, Release};
use auth_adapter_redis::refresh::Lookup;
use auth_adapter_redis::session::{Check, Create, Sessions};
use auth_adapter_redis::testing::Data;

use crate::stage::Setting;
use crate::support::{LONG, comes_alive, set, until};
use crate::world::{phone, row, user};
use crate::{DEADLINE, PATIENT};

#[tokio::test]
async fn killed_without_aof() {
    let stage = Setting::new(DEADLINE).start().await;
    stage.server.kill().unwrap();
    let found = stage.call_all_away().await;
    stage.server.restart(Data::Kept).unwrap();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_gone().await;
    stage.ends().await;
    found.stand_in_row(
        "kill -9 without AOF",
        "the process is killed, and nothing was saved",
        "all is gone: keys are misses, locks are free, of no session and no token anything is known, and fences rise",
    );
}

#[tokio::test]
async fn killed_with_aof() {
    let keeps = ["--appendonly", "yes", "--appendfsync", "always"];
    let stage = Setting::new(DEADLINE).args(&keeps).start().await;
    stage.server.kill().unwrap();
    let found = stage.call_all_away().await;
    stage.server.restart(Data::Kept).unwrap();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "kill -9 with AOF",
        "the process is killed, with `appendfsync always`",
        "all that was answered is there: also what was revoked, and a lock's holder",
    );
}

/// What was revoked since is active again, until the end of its confirmation.
#[tokio::test]
async fn an_old_snapshot() {
    let short = |sessions: Sessions| sessions.with_confirmed_for(Duration::from_secs(3)).unwrap();
    let stage = Setting::new(PATIENT).sessions(short).start().await;
    let kept = &stage.kept;
    stage.tell(&["SAVE"]);
    // All that the snapshot does not have.
    kept.sessions.revoke(&user("active"), &[phone()], &[]).await.unwrap();
    kept.cache.delete("k").await.unwrap();
    assert_eq!(kept.leases.release("lock", &kept.token).await.unwrap(), Release::Freed);
    stage.server.restart(Data::Kept).unwrap();
    comes_alive(&stage.redis).await;
    let until_when = kept.active_until("active").await.expect("its confirmation lasts");
    assert_eq!(kept.check("revoked").await, Check::Revoked, "before the snapshot");
    assert!(kept.cache.get("k").await.unwrap().is_some());
    assert!(matches!(kept.leases.acquire("lock", LONG).await, Ok(Acquire::Held { .. })));
    assert_eq!(kept.tokens.lookup(&kept.first).await.unwrap(), Lookup::Current);
    let found = stage.call_all().await;
    let lasts = SystemTime::from(until_when).duration_since(SystemTime::now());
    tokio::time::sleep(lasts.unwrap_or_default()).await;
    assert!(matches!(kept.check("active").await, Check::Unknown(_)));
    kept.fence_rises().await;
    stage.recovers().await;
    stage.frees().await;
    stage.ends().await;
    found.stand_in_row(
        "an old snapshot",
        "the process is killed, and starts with what was saved a while before",
        "what was since then never was: a session that was revoked reads active until the end of its confirmation and no longer, a lock that was freed is held until its TTL, and fences rise",
    );
}

#[tokio::test]
async fn eviction_of_everything() {
    let stage = Setting::new(PATIENT).start().await;
    set(&stage.server, "maxmemory-policy", "allkeys-random");
    set(&stage.server, "maxmemory", "1");
    until(|| stage.tell(&["DBSIZE"]).int() == Some(0)).await;
    set(&stage.server, "maxmemory", "0");
    let found = stage.call_all().await;
    stage.kept.is_gone().await;
    needs_fill(stage.kept.sessions.clone()).await;
    stage.recovers().await;
    stage.frees().await;
    stage.ends().await;
    found.stand_in_row(
        "eviction of everything",
        "the server evicts all keys, for want of memory",
        "as after kill -9 without AOF: no session reads active, and a `create` with a maximum needs a fill first",
    );
}

/// To keep a maximum, all sessions have to be known.
async fn needs_fill(sessions: Sessions) {
    let sessions = sessions.with_max(5).unwrap();
    let created = sessions.create(&user("active"), &row()).await.unwrap();
    assert!(matches!(created, Create::NeedsFill(_)), "{created:?}");
}
