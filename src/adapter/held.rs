//! The locks that adapters hold: tokens of Redis and, while that is away, locks within this process.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::Redis;
use crate::lock::LockToken;

/// Below this many locks nothing is swept.
const SWEEP_FROM: usize = 64;

/// Of all adapters, since those on one handle keep each other out. What an adapter that is gone has left
/// there lasts as it would in Redis.
static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(Mutex::default);

/// The holds of one adapter, of each lock the oldest first: a release takes that one, so the late
/// release of an earlier task never frees the lock of a later one.
#[derive(Debug)]
pub(super) struct Held {
    adapter: u64,
    handle: u64,
    prefix: Box<str>,
}

#[derive(Debug, Default)]
struct Table {
    holds: HashMap<Lock, VecDeque<Hold>>,
    sweep_at: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lock {
    handle: u64,
    /// With the prefix.
    key: Box<str>,
}

#[derive(Debug)]
pub(super) struct Hold {
    adapter: u64,
    /// None for a lock within this process.
    token: Option<LockToken>,
    lease_ends: Instant,
    /// One TTL after the lease ended: whoever took it is not coming back.
    forgotten: Instant,
}

impl Hold {
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
    /// Of a new adapter.
    pub(super) fn new(redis: &Redis) -> Self {
        Self::on(redis.id(), redis.prefix())
    }

    fn on(handle: u64, prefix: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { adapter: NEXT.fetch_add(1, Ordering::Relaxed), handle, prefix: prefix.into() }
    }

    /// Keeps what Redis gave, unless a task of this process took the lock within it meanwhile.
    pub(super) fn keep(
        &self,
        key: &str,
        token: LockToken,
        started: Instant,
        ttl: Duration,
    ) -> bool {
        let lock = self.lock(key);
        let mut table = table();
        if table.lasts(&lock, Hold::is_in_process) {
            return false;
        }
        table.push(lock, self.hold(Some(token), started, ttl));
        true
    }

    /// Takes the oldest hold of this adapter.
    pub(super) fn pop(&self, key: &str) -> Option<Hold> {
        let lock = self.lock(key);
        let mut table = table();
        let holds = table.current(&lock)?;
        let oldest = holds.iter().position(|hold| hold.adapter == self.adapter);
        let oldest = oldest.and_then(|at| holds.remove(at));
        if holds.is_empty() {
            table.holds.remove(&lock);
        }
        oldest
    }

    /// Takes a lock within this process, unless a hold of an adapter on this handle, of either kind,
    /// still lasts.
    pub(super) fn acquire_in_process(&self, key: &str, ttl: Duration) -> bool {
        let lock = self.lock(key);
        let mut table = table();
        if table.lasts(&lock, |_| true) {
            return false;
        }
        table.push(lock, self.hold(None, Instant::now(), ttl));
        true
    }

    /// Whether a lock within this process lasts that was taken while Redis was away: then a second
    /// task of this process must not get the same lock from Redis.
    pub(super) fn is_held_in_process(&self, key: &str) -> bool {
        table().lasts(&self.lock(key), Hold::is_in_process)
    }

    fn lock(&self, key: &str) -> Lock {
        Lock { handle: self.handle, key: format!("{}{key}", self.prefix).into() }
    }

    fn hold(&self, token: Option<LockToken>, started: Instant, ttl: Duration) -> Hold {
        let after = |wait: Duration| started.checked_add(wait).unwrap_or_else(far_away);
        let (lease_ends, forgotten) = (after(ttl), after(ttl.saturating_mul(2)));
        Hold { adapter: self.adapter, token, lease_ends, forgotten }
    }
}

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// The holds of a lock that are not forgotten.
    fn current(&mut self, lock: &Lock) -> Option<&mut VecDeque<Hold>> {
        let now = Instant::now();
        let holds = self.holds.get_mut(lock)?;
        holds.retain(|hold| hold.forgotten > now);
        Some(holds)
    }

    /// Whether the lease of such a hold lasts.
    fn lasts(&mut self, lock: &Lock, such: impl Fn(&Hold) -> bool) -> bool {
        let now = Instant::now();
        let lasts = |hold: &Hold| such(hold) && hold.lease_ends > now;
        self.current(lock).is_some_and(|holds| holds.iter().any(lasts))
    }

    fn push(&mut self, lock: Lock, hold: Hold) {
        self.sweep();
        self.holds.entry(lock).or_default().push_back(hold);
    }

    /// Drops what is forgotten from all locks, whenever their number has doubled since the last time.
    fn sweep(&mut self) {
        if self.holds.len() < self.sweep_at.max(SWEEP_FROM) {
            return;
        }
        let now = Instant::now();
        self.holds.retain(|_, holds| {
            holds.retain(|hold| hold.forgotten > now);
            !holds.is_empty()
        });
        self.sweep_at = self.holds.len() * 2;
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

    /// Of an adapter on a handle of its own, which no `Redis` has.
    fn held() -> Held {
        static HANDLES: AtomicU64 = AtomicU64::new(u64::MAX / 2);
        Held::on(HANDLES.fetch_add(1, Ordering::Relaxed), "")
    }

    /// Keeps a lock that was taken so long ago.
    fn keep(held: &Held, key: &str, age: Duration, ttl: Duration) -> bool {
        held.keep(key, LockToken::new().unwrap(), Instant::now() - age, ttl)
    }

    #[test]
    fn a_release_takes_the_oldest_hold() {
        let held = held();
        let oldest = LockToken::new().unwrap();
        assert!(held.keep("k", oldest.clone(), Instant::now() - LONG, LONG));
        assert!(keep(&held, "k", Duration::ZERO, LONG));
        assert_eq!(held.pop("k").unwrap().into_remote().unwrap().0, oldest);
        assert!(held.pop("k").is_some());
        assert!(held.pop("k").is_none());
    }

    #[test]
    fn a_hold_is_forgotten_one_ttl_after_its_lease() {
        let held = held();
        assert!(keep(&held, "k", LONG * 2, LONG));
        assert!(held.pop("k").is_none());
        assert!(keep(&held, "k", LONG * 2 - Duration::from_secs(1), LONG));
        assert!(held.pop("k").is_some());
    }

    #[test]
    fn locks_that_were_never_released_do_not_stay_for_ever() {
        let (held, mut table) = (held(), Table::default());
        for at in 0..10_000 {
            let forgotten = held.hold(None, Instant::now() - LONG * 2, LONG);
            table.push(held.lock(&at.to_string()), forgotten);
        }
        assert!(table.holds.len() <= SWEEP_FROM);
    }

    #[test]
    fn a_lease_from_redis_keeps_others_of_this_process_out_while_redis_is_away() {
        let held = held();
        assert!(keep(&held, "k", Duration::ZERO, LONG));
        assert!(!held.acquire_in_process("k", LONG));
        assert!(held.acquire_in_process("other", LONG));
        assert!(!held.acquire_in_process("other", LONG));
        assert!(held.is_held_in_process("other"));
        assert!(!held.is_held_in_process("k"));
    }

    #[test]
    fn what_redis_gives_is_not_kept_while_a_lock_within_this_process_lasts() {
        let held = held();
        assert!(held.acquire_in_process("k", LONG));
        assert!(!keep(&held, "k", Duration::ZERO, LONG));
        assert!(held.pop("k").unwrap().is_in_process());
        assert!(keep(&held, "k", Duration::ZERO, LONG));
    }

    #[test]
    fn adapters_on_one_handle_keep_each_other_out_and_release_only_their_own() {
        let one = held();
        let two = Held::on(one.handle, "");
        assert!(one.acquire_in_process("k", LONG));
        assert!(!two.acquire_in_process("k", LONG));
        assert!(!keep(&two, "k", Duration::ZERO, LONG));
        assert!(two.pop("k").is_none());
        assert!(one.pop("k").is_some());
        assert!(keep(&two, "k", Duration::ZERO, LONG));
        assert!(!one.acquire_in_process("k", LONG), "the other has it from Redis");
        assert!(one.pop("k").is_none());
    }

    #[test]
    fn the_whole_key_counts_and_the_handle() {
        let one = held();
        assert!(one.acquire_in_process("a:k", LONG));
        let prefixed = Held::on(one.handle, "a:");
        assert!(!prefixed.acquire_in_process("k", LONG));
        assert!(prefixed.acquire_in_process("a:k", LONG));
        assert!(held().acquire_in_process("a:k", LONG));
    }
}
