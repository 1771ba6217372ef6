//! Strings of one writer each: what is read was written, and not deleted since. And jobs of which one worker
//! does each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use auth_adapter_redis::CacheAdapter;
use auth_adapter_redis::cache::{Cache, Fill, Read};

use crate::support::LONG;
use crate::tally::Tally;
use crate::world::{JOBS, World, breathe};

const KEYS: usize = 4;

/// The numbers of the writes that may be there.
type Possible = BTreeSet<u64>;

pub async fn work(world: Arc<World>, at: usize) -> Tally {
    let mut tally = Tally::default();
    let (adapter, cache) = (&world.adapter, Cache::new(world.redis.clone()));
    let keys: Vec<_> = (0..KEYS).map(|key| format!("cache:{at}:{key}")).collect();
    let mut possible = vec![Possible::new(); KEYS];
    let mut round = 0_u64;
    while world.goes_on() {
        round += 1;
        let (key, possible_here) = (&keys[at_random(round)], &mut possible[at_random(round)]);
        let value = format!("{key}#{round}");
        match round % 7 {
            0 => {
                tally.sure("adapter delete", adapter.delete(key)).await;
                possible_here.clear();
            }
            1 => {
                let many: Vec<&str> = keys.iter().map(String::as_str).collect();
                if !round.is_multiple_of(5) {
                    work_on(&world, &mut tally, round as usize % JOBS).await;
                } else {
                    tally.sure("adapter delete_many", adapter.delete_many(&many)).await;
                    possible.iter_mut().for_each(Possible::clear);
                }
            }
            2 => {
                // Nobody is told whether it was kept.
                tally.sure("adapter set", adapter.set(key, &value, LONG)).await;
                possible_here.insert(round);
            }
            3 => match tally.call("cache/fill", cache.fill(key, &value, LONG)).await {
                Some(Fill::Filled) => *possible_here = Possible::from([round]),
                Some(Fill::Degraded(_)) => drop(possible_here.insert(round)),
                None => tally.is_wrong("a fill was an error".to_owned()),
            },
            _ => match tally.call("adapter read", adapter.read(key)).await {
                Some(Read::Hit(read)) => match number(key, &read) {
                    Some(number) if possible_here.contains(&number) => {
                        *possible_here = Possible::from([number]);
                    }
                    _ => {
                        tally.is_wrong(format!("{key} gave {read:?} and not of {possible_here:?}"))
                    }
                },
                // Whatever may have been there is gone.
                Some(Read::Miss) => possible_here.clear(),
                Some(Read::Degraded(_)) => breathe().await,
                None => tally.is_wrong("a read was an error".to_owned()),
            },
        }
    }
    tally
}

/// One of those that want to, as all are in one process.
async fn work_on(world: &World, tally: &mut Tally, at: usize) {
    let (adapter, job, is_done) = (&world.adapter, format!("job:{at}"), &world.jobs[at]);
    if tally.sure("adapter acquire_lock", adapter.acquire_lock(&job, LONG)).await {
        if is_done.swap(true, Ordering::SeqCst) {
            tally.is_wrong(format!("two do {job}"));
        }
        breathe().await;
        is_done.store(false, Ordering::SeqCst);
        tally.sure("adapter release_lock", adapter.release_lock(&job)).await;
    }
}

fn at_random(round: u64) -> usize {
    (round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % KEYS
}

fn number(key: &str, value: &str) -> Option<u64> {
    value.strip_prefix(key)?.strip_prefix('#')?.parse().ok()
}
