//! What happens on the way to a server.

use std::time::Duration;

use auth_adapter_redis::testing::Proxy;

use crate::operations::Operation;
use crate::stage::{Found, Setting, Stage};
use crate::world::QUOTA;
use crate::{DEADLINE, PATIENT};

/// Nothing is answered as long as the proxy does this, and what was sent first was executed, or not.
async fn away(
    fault: &'static str,
    how: &'static str,
    afterwards: &'static str,
    is_executed: bool,
    breaks: impl FnOnce(&Proxy),
) {
    let stage = Setting::new(DEADLINE).behind_proxy().start().await;
    breaks(stage.proxy());
    let found = stage.call_all_away().await;
    assert_eq!(stage.has("cache/set"), is_executed);
    stage.proxy().pass();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    stage.ends().await;
    found.stand_in_row(fault, how, afterwards);
}

/// Every call is answered, whatever the proxy does before it.
async fn answered(stage: &Stage, before: impl Fn(&Proxy, &Operation)) -> Found {
    let before = async |operation: &Operation| before(stage.proxy(), operation);
    let found = stage.call_all_after(before).await;
    stage.proxy().pass();
    stage.recovers().await;
    stage.frees().await;
    stage.kept.is_there().await;
    found
}

#[tokio::test]
async fn refused() {
    away(
        "refused",
        "connections are closed, and new ones refused",
        "what was kept before is there",
        false,
        Proxy::refuse,
    )
    .await;
}

#[tokio::test]
async fn black_hole() {
    away(
        "black hole",
        "connections stay open or are opened, and whatever is sent is lost",
        "nothing that was sent has arrived",
        false,
        Proxy::black_hole,
    )
    .await;
}

#[tokio::test]
async fn latency() {
    away(
        "2 s of latency",
        "each reply comes two seconds late",
        "what was sent was executed, late answers are nobody's",
        true,
        |proxy| proxy.delay(Duration::from_secs(2)),
    )
    .await;
}

#[tokio::test]
async fn garbage() {
    away(
        "garbage",
        "every request is lost, and answered by bytes that are no reply",
        "nothing that was sent has arrived",
        false,
        Proxy::garbage,
    )
    .await;
}

#[tokio::test]
async fn huge_reply() {
    away(
        "a huge reply",
        "every reply is the beginning of a string of a terabyte, 16 MB a second of it",
        "what was sent was executed",
        true,
        Proxy::endless_replies,
    )
    .await;
}

#[tokio::test]
async fn one_byte_at_a_time() {
    let stage = Setting::new(PATIENT).behind_proxy().start().await;
    stage.proxy().one_byte_at_a_time();
    let found = answered(&stage, |_, _| {}).await;
    stage.ends().await;
    found.stand_in_row(
        "one byte at a time",
        "each reply comes byte by byte, a millisecond apart",
        "what was kept before is there",
    );
}

/// Each was executed by then, and is sent once more.
#[tokio::test]
async fn cut_mid_reply() {
    let stage = Setting::new(PATIENT).behind_proxy().start().await;
    let found = answered(&stage, |proxy, of| proxy.half_reply_to(&request(of.name))).await;
    let level = stage.world.limiter.peek("rate/check", &QUOTA).await.unwrap();
    assert_eq!(level.remaining, 3, "of five");
    stage.ends().await;
    found.stand_in_row(
        "cut mid-reply",
        "of the first reply of each call half a line arrives, and then the connection is closed",
        "each call was executed twice, and a rate limit has taken its cost twice",
    );
}

/// What no other operation sends at that time.
fn request(name: &str) -> String {
    let user = |name: &str| format!("user:{name}:state");
    match (name, name.split_once('/')) {
        ("adapter/is_available", _) => "PING".to_owned(),
        ("lock/list", _) => "SCAN".to_owned(),
        ("script/load", _) => "LOAD".to_owned(),
        ("refresh/lookup_hash", _) => "rt:hash:".to_owned(),
        ("refresh/revoke", _) => user("revoke a family"),
        ("session/check of an unknown user", _) => user("unknown"),
        (_, Some(("session" | "refresh", verb))) => user(verb),
        (key, _) => format!("before:{key}"),
    }
}

#[tokio::test]
async fn reset() {
    let stage = Setting::new(PATIENT).behind_proxy().start().await;
    let found = answered(&stage, |proxy, _| proxy.reset()).await;
    stage.ends().await;
    found.stand_in_row(
        "RST",
        "before each call all connections are reset",
        "what was kept before is there",
    );
}
