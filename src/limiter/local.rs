//! The limiter of this process: governor for each quota, and a bound on all of them together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::nanos::Nanos;

use super::limit::{Key, Limit};
use crate::clock::Moment;
use crate::error::Result;
use crate::rate::{Check, Quota};

/// The most quotas that something was taken of.
const MAX_QUOTAS: usize = 1000;
/// How often a full table is searched for what can go.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Local {
    share: f64,
    max_keys: usize,
    limits: HashMap<Quota, Limit>,
    /// Moved by hand: all that one call asks for is asked at one instant.
    clock: FakeRelativeClock,
    began: Moment,
    sweep_at: Moment,
}

/// A bucket as it was before something was taken.
#[must_use = "it is put back where another bucket has less"]
pub(super) struct Before {
    quota: Quota,
    key: Key,
    full_at: Option<Nanos>,
}

impl Local {
    pub(super) fn new(share: f64, max_keys: usize) -> Self {
        let now = Moment::now();
        let (limits, clock) = (HashMap::new(), FakeRelativeClock::default());
        Self { share, max_keys, limits, clock, began: now, sweep_at: now }
    }

    /// Takes `cost`, if there is as much, from the bucket of a key that has this hash.
    pub(super) fn take(
        &mut self,
        now: Moment,
        hash: u64,
        quota: &Quota,
        cost: u32,
    ) -> Result<(Check, Before)> {
        self.clock.advance(now.since(self.began).saturating_sub(self.clock.now().into()));
        let (key, fits) = (self.place(now, quota, hash), self.has_room_for(now, quota));
        let limit = match self.limits.entry(*quota) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let limit = Limit::new(&quota.terms()?, self.share, &self.clock)?;
                if !fits {
                    let before = Before { quota: *quota, key, full_at: None };
                    return Ok((limit.refuse(cost), before));
                }
                new.insert(limit)
            }
        };
        let before = Before { quota: *quota, key, full_at: limit.full_at(key) };
        Ok((limit.take(key, cost), before))
    }

    /// Makes a bucket what it was before a [`take`](Self::take).
    pub(super) fn put_back(&mut self, before: Before) {
        if let Some(limit) = self.limits.get(&before.quota) {
            limit.put_back(before.key, before.full_at);
        }
    }

    /// Makes all buckets of a key full.
    pub(super) fn fill(&mut self, hash: u64) {
        self.limits.values().for_each(|limit| limit.put_back(Some(hash), None));
    }

    /// Where a key has its bucket: its own, or where there is no room the one that the others share, so
    /// that whoever makes up keys gains nothing.
    fn place(&mut self, now: Moment, quota: &Quota, hash: u64) -> Key {
        let own = Some(hash);
        if self.limits.get(quota).is_some_and(|limit| limit.has(own)) {
            return own;
        }
        if self.keys() >= self.max_keys {
            self.sweep(now);
        }
        own.filter(|_| self.keys() < self.max_keys)
    }

    fn has_room_for(&mut self, now: Moment, quota: &Quota) -> bool {
        if self.limits.len() >= MAX_QUOTAS && !self.limits.contains_key(quota) {
            self.sweep(now);
        }
        self.limits.len() < MAX_QUOTAS
    }

    /// Drops what is as good as new, unless that was done a moment ago.
    fn sweep(&mut self, now: Moment) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now.after(SWEEP_EVERY);
        self.limits.retain(|_, limit| {
            limit.drop_full();
            !limit.is_full()
        });
    }

    /// How many keys have a bucket of their own.
    fn keys(&self) -> usize {
        self.limits.values().map(Limit::keys).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const EIGHT: Quota = Quota::per_hour(1).burst(8);

    /// Takes at so long after its beginning.
    fn take(local: &mut Local, later: Duration, hash: u64, quota: &Quota, cost: u32) -> Check {
        local.take(local.began.after(later), hash, quota, cost).unwrap().0
    }

    fn takes(local: &mut Local, later: Duration, hash: u64) -> bool {
        take(local, later, hash, &EIGHT, 1).is_allowed()
    }

    #[test]
    fn a_share_of_the_burst_passes_at_once_and_a_share_of_the_rate_from_then_on() {
        let mut local = Local::new(0.25, 10);
        for left in [1, 0] {
            let reset_after = HOUR * 4 * (2 - left);
            let expected = Check::Allowed { remaining: left, reset_after };
            assert_eq!(take(&mut local, Duration::ZERO, 1, &EIGHT, 1), expected);
        }
        let moment = Duration::from_nanos(1);
        for hours in [0, 4, 8] {
            let until = HOUR * (hours + 4);
            let wait = HOUR * 4 - moment;
            let expected =
                Check::Denied { retry_after: wait, remaining: 0, reset_after: wait + HOUR * 4 };
            assert_eq!(take(&mut local, HOUR * hours + moment, 1, &EIGHT, 1), expected);
            assert!(!takes(&mut local, until - moment, 1));
            assert!(takes(&mut local, until, 1));
        }
        assert!(takes(&mut local, Duration::ZERO, 2), "another key");
    }

    #[test]
    fn a_whole_share_is_the_quota_and_the_least_lets_one_pass_at_a_time() {
        for (share, burst) in [(1.0, 8), (1.0 / 8.0, 1), (0.3, 2), (3.0 / 8.0, 3), (0.01, 1)] {
            let mut local = Local::new(share, 10);
            for _ in 0..burst {
                assert!(takes(&mut local, Duration::ZERO, 1), "{share}");
            }
            assert!(!takes(&mut local, Duration::ZERO, 1), "{share}");
        }
        let mut third = Local::new(1.0 / 3.0, 10);
        let quota = Quota::per_hour(3);
        assert!(take(&mut third, Duration::ZERO, 1, &quota, 1).is_allowed());
        let outcome = take(&mut third, Duration::ZERO, 1, &quota, 1);
        let Check::Denied { retry_after, .. } = outcome else { panic!("{outcome:?}") };
        assert!(retry_after.abs_diff(HOUR) < Duration::from_micros(1), "{retry_after:?}");
    }

    #[test]
    fn a_cost_over_its_burst_is_told_when_the_share_has_brought_as_much() {
        let mut local = Local::new(0.25, 10);
        assert!(takes(&mut local, Duration::ZERO, 1));
        for cost in [3, 8] {
            let expected =
                Check::Denied { retry_after: HOUR * 4 * cost, remaining: 1, reset_after: HOUR * 4 };
            assert_eq!(take(&mut local, Duration::ZERO, 1, &EIGHT, cost), expected);
        }
    }

    #[test]
    fn the_slowest_and_the_fastest_quota_do_not_overflow() {
        let slowest = Quota::new(1, Duration::from_micros((1 << 51) - 1));
        let slow = Quota::new(1, Duration::from_micros(1 << 20)).burst((1 << 31) - 1);
        let fast = Quota::per_second(1_000_000).burst(u32::MAX);
        for share in [1.0, 0.25, f64::MIN_POSITIVE] {
            let mut local = Local::new(share, 10);
            for quota in [slowest, slow, fast] {
                let later = HOUR * 24 * 365 * 70;
                assert!(take(&mut local, later, 1, &quota, 1).is_allowed(), "{quota:?}");
                for cost in [1 << 30, u32::MAX] {
                    let _check = take(&mut local, later, 1, &quota, cost);
                }
            }
        }
    }

    #[test]
    fn what_is_put_back_was_never_taken_and_what_is_filled_is_new() {
        let mut local = Local::new(0.25, 10);
        for cost in [1, 2] {
            let now = local.began;
            let (check, before) = local.take(now, 1, &EIGHT, cost).unwrap();
            assert!(check.is_allowed());
            local.put_back(before);
        }
        assert_eq!(local.keys(), 0);
        assert!(takes(&mut local, Duration::ZERO, 1));
        let (check, before) = local.take(local.began, 1, &EIGHT, 1).unwrap();
        assert!(check.is_allowed());
        local.put_back(before);
        assert!(takes(&mut local, Duration::ZERO, 1));
        assert!(!takes(&mut local, Duration::ZERO, 1));
        local.fill(1);
        assert_eq!(local.keys(), 0);
        assert!(takes(&mut local, Duration::ZERO, 1));
    }

    /// A sweep in between drops the limit itself, and the next one counts from another instant.
    #[test]
    fn what_was_as_good_as_new_is_put_back_as_new() {
        let mut local = Local::new(0.25, 1);
        assert!(takes(&mut local, Duration::ZERO, 1));
        let later = local.began.after(HOUR * 10);
        let (over, one) = local.take(later, 1, &EIGHT, 3).unwrap();
        let (allowed, two) = local.take(later, 2, &EIGHT, 1).unwrap();
        assert_eq!((over.is_allowed(), allowed.is_allowed()), (false, true));
        local.put_back(two);
        local.put_back(one);
        assert!(take(&mut local, HOUR * 10, 1, &EIGHT, 2).is_allowed());
    }

    #[test]
    fn a_million_made_up_keys_take_no_more_room_than_the_bound_and_share_one_bucket() {
        let mut local = Local::new(0.25, 1000);
        assert!(takes(&mut local, Duration::ZERO, 0));
        let passed = (1..1_000_000).filter(|&key| takes(&mut local, Duration::ZERO, key)).count();
        assert_eq!(
            passed,
            999 + 2,
            "those that fit, and the burst of the one that the others share"
        );
        assert_eq!(local.keys(), 1000);
        assert!(takes(&mut local, Duration::ZERO, 0), "one that was there first");
        assert!(!takes(&mut local, Duration::ZERO, 0));
    }

    #[test]
    fn a_full_table_has_room_again_as_soon_as_something_in_it_is_as_good_as_new() {
        let mut local = Local::new(1.0, 2);
        for key in [1, 2, 2] {
            assert!(takes(&mut local, Duration::ZERO, key));
        }
        let shared = |local: &Local| local.limits[&EIGHT].has(None);
        assert!(takes(&mut local, HOUR - SWEEP_EVERY, 3));
        assert!(shared(&local), "nothing could go");
        let before = local.keys();
        assert!(takes(&mut local, HOUR, 4));
        assert_eq!(local.keys(), before, "one went, one came");
        assert!(local.limits[&EIGHT].has(Some(4)));
    }

    #[test]
    fn made_up_quotas_take_no_more_room_than_their_bound() {
        let mut local = Local::new(1.0, 10_000);
        let quota = |hours| Quota::new(1, HOUR * hours);
        for hours in 1..=2 * MAX_QUOTAS as u32 {
            let fits = hours <= MAX_QUOTAS as u32;
            let check = take(&mut local, Duration::ZERO, 1, &quota(hours), 1);
            assert_eq!(check.is_allowed(), fits, "{hours}");
            if let Check::Denied { retry_after, .. } = check {
                assert_eq!(retry_after, HOUR * hours);
            }
        }
        assert_eq!(local.limits.len(), MAX_QUOTAS);
        assert!(take(&mut local, HOUR, 1, &quota(5000), 1).is_allowed());
        assert_eq!(local.limits.len(), MAX_QUOTAS);
    }
}
