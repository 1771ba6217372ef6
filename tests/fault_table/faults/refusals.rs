//! What a server refuses for want of memory, of a disk or of time.

use crate::PATIENT;
use crate::stage::Setting;
use crate::stranger::Stranger;
use crate::support::{fail_to_save, set, until};

#[tokio::test]
async fn out_of_memory() {
    let stage = Setting::new(PATIENT).start().await;
    set(&stage.server, "maxmemory", "1024");
    let found = stage.call_all().await;
    set(&stage.server, "maxmemory", "0");
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "OOM",
        "the server is over its `maxmemory`, with `noeviction`",
        "what was kept before is there",
    );
}

#[tokio::test]
async fn misconf() {
    let stage = Setting::new(PATIENT).start().await;
    let saves = fail_to_save(&stage.server);
    let found = stage.call_all().await;
    saves.mend();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "MISCONF",
        "the last save has failed, and `stop-writes-on-bgsave-error` is on",
        "what was kept before is there",
    );
}

#[tokio::test]
async fn busy() {
    let stage = Setting::new(PATIENT).start().await;
    set(&stage.server, "lua-time-limit", "1");
    let mut other = Stranger::of(&stage.server);
    other.send("EVAL \"while true do end\" 0");
    let is_busy = || stage.server.command(&["PING"]).unwrap().is_error();
    until(is_busy).await;
    let found = stage.call_all().await;
    stage.tell(&["SCRIPT", "KILL"]);
    until(|| !is_busy()).await;
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(
        "BUSY",
        "a script of others runs past its time",
        "what was kept before is there",
    );
}
