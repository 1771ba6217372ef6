//! A bucket for each worker: never more passes than its quota lets.

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
    let key = format!("limit:{at}");
    let (began, mut passed) = (Instant::now(), 0_u64);
    while world.goes_on() {
        match tally.call("rate/check", world.limiter.check(&key, &quota, 1)).await {
            Some(check) if check.is_allowed() => passed += 1,
            Some(_denied) => tokio::time::sleep(Duration::from_millis(2)).await,
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
    }
    tally
}
