//! Locks that all workers want: one holds each, and its fence is above all before it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use auth_adapter_redis::LockGuard;
use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::key::Fence;
use auth_adapter_redis::lock::Extend;

use crate::tally::Tally;
use crate::world::{LOCKS, World, breathe};

const TTL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_millis(100);

/// What is known of a lock from outside.
#[derive(Default)]
pub struct Watched(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Who has it by its own account, and until when.
    holder: Option<(usize, Instant)>,
    newest: Option<Fence>,
}

impl Watched {
    fn taken(&self, by: usize, guard: &LockGuard) -> Result<(), String> {
        let mut known = self.0.lock().unwrap();
        let now = Instant::now();
        let other = known.holder.filter(|(_, until)| now < *until);
        known.holder = Some((by, now + guard.remaining()));
        let before = std::mem::replace(&mut known.newest, guard.fence());
        match other {
            _ if guard.fence() <= before => Err(format!("{:?} after {before:?}", guard.fence())),
            Some((other, _)) if other != by => Err(format!("{by} and {other} hold a lock")),
            _ => Ok(()),
        }
    }

    fn gives_up(&self, by: usize) {
        let mut known = self.0.lock().unwrap();
        if known.holder.is_some_and(|(holder, _)| holder == by) {
            known.holder = None;
        }
    }
}

pub async fn work(world: Arc<World>, at: usize) -> Tally {
    let mut tally = Tally::default();
    let mut round = at;
    while world.goes_on() {
        round += 1;
        let (name, watched) = (format!("lock:{}", round % LOCKS), &world.watched[round % LOCKS]);
        let acquired = match round % 3 {
            0 => {
                let acquire = world.locks.acquire(&name, TTL, PATIENCE);
                tally.call("locks acquire", acquire).await
            }
            _ => tally.call("locks try_acquire", world.locks.try_acquire(&name, TTL)).await,
        };
        let guard = match acquired {
            Some(Acquisition::Acquired(guard)) => guard,
            Some(Acquisition::Held { .. }) | None => {
                breathe().await;
                continue;
            }
        };
        if let Err(why) = watched.taken(at, &guard) {
            tally.is_wrong(format!("{name}: {why}"));
        }
        let fence = guard.fence().expect("these locks are fenced");
        let guarded = format!("guarded:{name}");
        let write = world.fenced.check_and_set(&guarded, &name, fence);
        if let Some(outcome) = tally.call("fence/check_and_set", write).await
            && outcome != CheckAndSet::Set
            && !guard.is_lost()
        {
            tally.is_wrong(format!("{name}: its holder's write was {outcome:?}"));
        }
        let is_sure = guard.remaining() > TTL / 2;
        if let Some(Extend::NotOurs) = tally.call("guard extend", guard.extend(TTL)).await
            && is_sure
        {
            tally.is_wrong(format!("{name}: its holder's lock was lost to it"));
        }
        watched.gives_up(at);
        // Not always freed: one that is repeated after a lost reply finds the lock gone.
        let _released = tally.call("guard release", guard.release()).await;
    }
    tally
}
