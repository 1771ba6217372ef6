//! Locks that all workers want: one holds each, and its fence is above all before it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::key::Fence;
use auth_adapter_redis::{LockGuard, lock::Release};

use crate::tally::Tally;
use crate::world::{LOCKS, World, breathe};

const TTL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_millis(100);

/// Who has a lock by its own account, and the newest fence.
#[derive(Default)]
pub struct Watched(Mutex<(Option<(usize, Instant)>, Option<Fence>)>);

impl Watched {
    fn taken(&self, by: usize, guard: &LockGuard) -> Result<(), String> {
        let mut watched = self.0.lock().unwrap();
        let now = Instant::now();
        let other = watched.0.filter(|(_, until)| now < *until);
        watched.0 = Some((by, now + guard.remaining()));
        let before = std::mem::replace(&mut watched.1, guard.fence());
        match other {
            _ if guard.fence() <= before => Err(format!("{:?} after {before:?}", guard.fence())),
            Some((other, _)) if other != by => Err(format!("{by} and {other} hold a lock")),
            _ => Ok(()),
        }
    }

    fn gives_up(&self, by: usize) {
        let mut watched = self.0.lock().unwrap();
        if watched.0.is_some_and(|(holder, _)| holder == by) {
            watched.0 = None;
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
        let was_lost = guard.is_lost();
        watched.gives_up(at);
        if let Some(outcome) = tally.call("guard release", guard.release()).await
            && outcome != Release::Freed
            && !was_lost
        {
            // What was repeated after a hand-over finds it gone; it is the first that was right.
            let by_repeat = matches!(outcome, Release::NotOurs);
            if !by_repeat {
                tally.is_wrong(format!("{name}: its release was {outcome:?}"));
            }
        }
    }
    tally
}
