//! What Redis last denied.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Moment;
use crate::rate::{Check, Terms};

/// When the buckets are full again that had too little, by the hashes of their keys.
#[derive(Debug)]
pub(super) struct Blocked {
    max_keys: usize,
    full_at: HashMap<u64, Moment>,
}

impl Blocked {
    pub(super) fn new(max_keys: usize) -> Self {
        Self { max_keys, full_at: HashMap::new() }
    }

    /// Remembers a denial. Where there is no room, those go that have the least left of theirs.
    pub(super) fn insert(&mut self, now: Moment, hash: u64, full_at: Moment) {
        if self.full_at.len() >= self.max_keys && !self.full_at.contains_key(&hash) {
            self.make_room(now);
        }
        if self.full_at.len() < self.max_keys || self.full_at.contains_key(&hash) {
            self.full_at.insert(hash, full_at);
        }
    }

    /// Redis let something pass, and told when the bucket is full.
    pub(super) fn correct(&mut self, hash: u64, reset_after: Duration) {
        if let Some(full_at) = self.full_at.get_mut(&hash) {
            *full_at = Moment::now().after(reset_after);
        }
    }

    pub(super) fn remove(&mut self, hash: u64) {
        self.full_at.remove(&hash);
    }

    /// The denial of a cost that Redis would deny still, as far as was last known.
    pub(super) fn denies(
        &self,
        now: Moment,
        hash: u64,
        terms: &Terms,
        spend: u64,
    ) -> Option<Check> {
        let refill = self.full_at.get(&hash)?.since(now);
        let reset_after = refill.min(Duration::from_micros(terms.horizon));
        let passes_at = Duration::from_micros(terms.horizon - spend);
        let retry_after = reset_after.checked_sub(passes_at).filter(|wait| !wait.is_zero())?;
        // Below the horizon, which is below 2^51.
        let remaining = terms.remaining(reset_after.as_micros() as u64);
        Some(Check::Denied { retry_after, remaining, reset_after })
    }

    /// Drops what is over, else the half that is over first: not one for each that comes.
    fn make_room(&mut self, now: Moment) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= self.max_keys {
            let mut ends: Vec<_> = self.full_at.values().copied().collect();
            ends.sort_unstable();
            if let Some(&median) = ends.get(ends.len() / 2) {
                self.full_at.retain(|_, full_at| *full_at > median);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Quota;

    const HOUR: Duration = Duration::from_secs(3600);
    const FIVE: Quota = Quota::per_hour(1).burst(5);

    fn denies(blocked: &Blocked, now: Moment, hash: u64, cost: u32) -> Option<Check> {
        let terms = FIVE.terms().unwrap();
        blocked.denies(now, hash, &terms, terms.spend(cost).unwrap())
    }

    #[test]
    fn a_cost_is_denied_until_the_bucket_has_as_much() {
        let (now, mut blocked) = (Moment::now(), Blocked::new(10));
        blocked.insert(now, 1, now.after(HOUR * 4));
        for cost in 1..=5 {
            let denied =
                |retry_after| Check::Denied { retry_after, remaining: 1, reset_after: HOUR * 4 };
            let expected = (cost > 1).then(|| denied(HOUR * (cost - 1)));
            assert_eq!(denies(&blocked, now, 1, cost), expected);
            let passes_at = now.after(HOUR * (cost - 1));
            assert_eq!(denies(&blocked, passes_at, 1, cost), None);
            if cost > 1 {
                let moment = Duration::from_nanos(1);
                assert!(denies(&blocked, passes_at.before(moment), 1, cost).is_some());
            }
        }
        assert_eq!(denies(&blocked, now, 2, 5), None, "another key");
        blocked.remove(1);
        assert_eq!(denies(&blocked, now, 1, 5), None);
    }

    #[test]
    fn nobody_waits_for_longer_than_an_empty_bucket() {
        let (now, mut blocked) = (Moment::now(), Blocked::new(10));
        blocked.insert(now, 1, now.after(HOUR * 1000));
        let expected = Check::Denied { retry_after: HOUR, remaining: 0, reset_after: HOUR * 5 };
        assert_eq!(denies(&blocked, now, 1, 1), Some(expected));
    }

    #[test]
    fn of_a_million_those_stay_that_have_the_most_left() {
        let (now, mut blocked) = (Moment::now(), Blocked::new(1000));
        blocked.insert(now, 0, now.after(HOUR * 5));
        for key in 1..1_000_000 {
            blocked.insert(now, key, now.after(Duration::from_millis(key)));
            assert!(blocked.full_at.len() <= 1000);
        }
        for key in [0, 999_500, 999_999] {
            assert!(blocked.full_at.contains_key(&key), "{key}");
        }
    }

    #[test]
    fn what_is_over_goes_first_and_what_is_known_needs_no_room() {
        let (now, mut blocked) = (Moment::now(), Blocked::new(2));
        blocked.insert(now, 1, now.after(HOUR));
        blocked.insert(now, 2, now.after(HOUR * 2));
        blocked.insert(now, 2, now.after(HOUR * 3));
        assert_eq!(blocked.full_at.len(), 2);
        let later = now.after(HOUR);
        blocked.insert(later, 3, later.after(HOUR));
        let mut known: Vec<_> = blocked.full_at.keys().copied().collect();
        known.sort_unstable();
        assert_eq!(known, [2, 3]);
        let mut nothing = Blocked::new(0);
        nothing.insert(now, 1, now.after(HOUR));
        assert!(nothing.full_at.is_empty());
    }
}
