//! The locks that this adapter holds: tokens of Redis and, while that is away, locks of its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lock::LockToken;

/// Below this many keys nothing is swept.
const SWEEP_FROM: usize = 64;

/// The holds of each key, the oldest first: a release takes that one, so the late release of an
/// earlier task never frees the lock of a later one.
#[derive(Debug, Default)]
pub(super) struct Held {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_key: HashMap<Box<str>, VecDeque<Hold>>,
    sweep_at: usize,
}

#[derive(Debug)]
pub(super) struct Hold {
    /// None for a lock within this process.
    token: Option<LockToken>,
    lease_ends: Instant,
    /// One TTL after the lease ended: whoever took it is not coming back.
    forgotten: Instant,
}

impl Hold {
    pub(super) fn remote(token: LockToken, started: Instant, ttl: Duration) -> Self {
        Self::new(Some(token), started, ttl)
    }

    fn new(token: Option<LockToken>, started: Instant, ttl: Duration) -> Self {
        let after = |wait: Duration| started.checked_add(wait).unwrap_or_else(far_away);
        Self { token, lease_ends: after(ttl), forgotten: after(ttl.saturating_mul(2)) }
    }

    fn is_in_process(&self) -> bool {
        self.token.is_none()
    }

    /// The token, and how long its lease may still last.
    pub(super) fn into_remote(self) -> Option<(LockToken, Duration)> {
        let left = self.lease_ends.saturating_duration_since(Instant::now());
        Some((self.token?, left))
    }
}

impl Held {
    /// Keeps what Redis gave, unless a task of this process took the lock within it meanwhile.
    pub(super) fn keep(&self, key: &str, hold: Hold) -> bool {
        let mut table = self.table();
        if table.lasts(key, Hold::is_in_process) {
            return false;
        }
        table.push(key, hold);
        true
    }

    /// Takes the oldest hold of a key.
    pub(super) fn pop(&self, key: &str) -> Option<Hold> {
        let mut table = self.table();
        let holds = table.current(key)?;
        let oldest = holds.pop_front();
        if holds.is_empty() {
            table.by_key.remove(key);
        }
        oldest
    }

    /// Takes a lock within this process, unless a hold of this adapter, of either kind, still lasts.
    pub(super) fn acquire_in_process(&self, key: &str, ttl: Duration) -> bool {
        let mut table = self.table();
        if table.lasts(key, |_| true) {
            return false;
        }
        table.push(key, Hold::new(None, Instant::now(), ttl));
        true
    }

    /// Whether a lock within this process lasts that was taken while Redis was away: then a second
    /// task of this process must not get the same lock from Redis.
    pub(super) fn is_held_in_process(&self, key: &str) -> bool {
        self.table().lasts(key, Hold::is_in_process)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The holds of a key that are not forgotten.
    fn current(&mut self, key: &str) -> Option<&mut VecDeque<Hold>> {
        let now = Instant::now();
        let holds = self.by_key.get_mut(key)?;
        holds.retain(|hold| hold.forgotten > now);
        Some(holds)
    }

    /// Whether the lease of such a hold lasts.
    fn lasts(&mut self, key: &str, such: impl Fn(&Hold) -> bool) -> bool {
        let now = Instant::now();
        let lasts = |hold: &Hold| such(hold) && hold.lease_ends > now;
        self.current(key).is_some_and(|holds| holds.iter().any(lasts))
    }

    fn push(&mut self, key: &str, hold: Hold) {
        self.sweep();
        self.by_key.entry(key.into()).or_default().push_back(hold);
    }

    /// Drops what is forgotten from all keys, whenever their number has doubled since the last time.
    fn sweep(&mut self) {
        if self.by_key.len() < self.sweep_at.max(SWEEP_FROM) {
            return;
        }
        let now = Instant::now();
        self.by_key.retain(|_, holds| {
            holds.retain(|hold| hold.forgotten > now);
            !holds.is_empty()
        });
        self.sweep_at = self.by_key.len() * 2;
    }
}

/// Where a TTL is too long for the clock.
fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(60 * 60 * 24 * 365)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn remote(age: Duration, ttl: Duration) -> Hold {
        Hold::remote(LockToken::new().unwrap(), Instant::now() - age, ttl)
    }

    #[test]
    fn a_release_takes_the_oldest_hold() {
        let held = Held::default();
        let (first, second) = (remote(LONG, LONG), remote(Duration::ZERO, LONG));
        let oldest = first.token.clone();
        assert!(held.keep("k", first));
        assert!(held.keep("k", second));
        assert_eq!(held.pop("k").unwrap().into_remote().unwrap().0, oldest.unwrap());
        assert!(held.pop("k").is_some());
        assert!(held.pop("k").is_none());
    }

    #[test]
    fn a_hold_is_forgotten_one_ttl_after_its_lease() {
        let held = Held::default();
        assert!(held.keep("k", remote(LONG * 2, LONG)));
        assert!(held.pop("k").is_none());
        assert!(held.keep("k", remote(LONG * 2 - Duration::from_secs(1), LONG)));
        assert!(held.pop("k").is_some());
    }

    #[test]
    fn keys_that_were_never_released_do_not_stay_for_ever() {
        let held = Held::default();
        for at in 0..10_000 {
            assert!(held.keep(&at.to_string(), remote(LONG * 2, LONG)));
        }
        assert!(held.table().by_key.len() <= SWEEP_FROM);
    }

    #[test]
    fn a_lease_from_redis_keeps_others_of_this_process_out_while_redis_is_away() {
        let held = Held::default();
        assert!(held.keep("k", remote(Duration::ZERO, LONG)));
        assert!(!held.acquire_in_process("k", LONG));
        assert!(held.acquire_in_process("other", LONG));
        assert!(!held.acquire_in_process("other", LONG));
        assert!(held.is_held_in_process("other"));
        assert!(!held.is_held_in_process("k"));
    }

    #[test]
    fn what_redis_gives_is_not_kept_while_a_lock_within_this_process_lasts() {
        let held = Held::default();
        assert!(held.acquire_in_process("k", LONG));
        assert!(!held.keep("k", remote(Duration::ZERO, LONG)));
        assert!(held.pop("k").unwrap().is_in_process());
        assert!(held.keep("k", remote(Duration::ZERO, LONG)));
    }
}
