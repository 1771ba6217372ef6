//! Buckets for each worker: never more passes than its quota lets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_adapter_redis::rate::Quota;

use crate::tally::Tally;
use crate::world::{World, breathe};

const RATE: u32 = 200;
const BURST: u32 = 50;
/// Whoever is rounded down by the microsecond.
const SLACK: u64 = 1;

pub async fn work(world: Arc<World>, at: usize) -> Tally {
    let mut tally = Tally::default();
    let quota = Quota::per_second(RATE).burst(BURST);
    let [key, reset, fallen] = ["", "reset:", "fallback:"].map(|kind| format!("limit:{kind}{at}"));
    let (began, mut passed, mut round) = (Instant::now(), 0_u64, 0_u32);
    while world.goes_on() {
        round += 1;
        let is_allowed = match round % 2 {
            0 => {
                let check = tally.call("rate/check", world.limiter.check(&key, &quota, 1)).await;
                check.map(|check| check.is_allowed())
            }
            _ => {
                let limits = [(key.as_str(), quota), ("limit:wide", Quota::per_second(1_000_000))];
                let check = world.limiter.check_many(&limits, 1);
                tally.call("rate/check_many", check).await.map(|check| check.is_allowed())
            }
        };
        match is_allowed {
            Some(true) => passed += 1,
            Some(false) => tokio::time::sleep(Duration::from_millis(2)).await,
            None => breathe().await,
        }
        let most = u64::from(BURST) + began.elapsed().as_millis() as u64 * u64::from(RATE) / 1000;
        if passed > most + SLACK {
            tally.is_wrong(format!("{passed} passed and at most {most} could"));
            break;
        }
        if let Some(level) = tally.call("rate/peek", world.limiter.peek(&key, &quota)).await
            && level.remaining > BURST
        {
            tally.is_wrong(format!("{level:?} is more than a burst"));
        }
        // Whoever has logged in may try as often as ever.
        if tally.call("rate/reset", world.limiter.reset(&reset, &quota)).await.is_some()
            && let Some(check) =
                tally.call("rate/check", world.limiter.check(&reset, &quota, BURST)).await
            && !check.is_allowed()
        {
            tally.is_wrong(format!("after a reset it is {check:?}"));
        }
        if tally.call("fallback check", world.fallback.check(&fallen, &quota, 1)).await.is_none() {
            tally.is_wrong("the limiter that falls back failed".to_owned());
        }
    }
    tally
}
