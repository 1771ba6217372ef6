//! All that this process knows of limits: what Redis last denied, and what it let pass itself.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use super::blocked::Blocked;
use super::local::{Before, Local};
use crate::clock::Moment;
use crate::error::Result;
use crate::rate::{Check, CheckMany, Quota};

/// Keys are known by their hashes, since a key can have two thousand bytes. Two that fall on each other
/// share a bucket; of 10,000 keys that is one chance in 10^11, and nobody outside can aim at it.
#[derive(Debug)]
pub(super) struct InProcess {
    hasher: RandomState,
    blocked: Blocked,
    local: Local,
}

impl InProcess {
    pub(super) fn new(share: f64, max_keys: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            blocked: Blocked::new(max_keys),
            local: Local::new(share, max_keys),
        }
    }

    /// Learns from an answer of Redis.
    pub(super) fn learn(&mut self, key: &str, check: &Check) {
        let hash = self.hasher.hash_one(key);
        match check {
            // A greater cost than the one that passed would still be denied.
            Check::Allowed { reset_after, .. } => self.blocked.correct(hash, *reset_after),
            Check::Denied { reset_after, .. } => {
                let now = Moment::now();
                self.blocked.insert(now, hash, now.after(*reset_after));
            }
        }
    }

    /// Learns from an answer of Redis. Of those that had less it told the longest wait.
    pub(super) fn learn_many<K: AsRef<str>>(
        &mut self,
        limits: &[(K, Quota)],
        cost: u32,
        check: &CheckMany,
    ) -> Result<()> {
        match check {
            // Of each that is the most.
            CheckMany::Allowed { reset_after, .. } => {
                for (key, _) in limits {
                    self.blocked.correct(self.hasher.hash_one(key.as_ref()), *reset_after);
                }
            }
            CheckMany::Denied { retry_after, by } => {
                let now = Moment::now();
                for (key, quota) in by.iter().filter_map(|&at| limits.get(at)) {
                    let (passes_at, terms) = (now.after(*retry_after), quota.terms()?);
                    let full_at =
                        passes_at.after(Duration::from_micros(terms.horizon - terms.spend(cost)?));
                    self.blocked.insert(now, self.hasher.hash_one(key.as_ref()), full_at);
                }
            }
        }
        Ok(())
    }

    /// Takes `cost` from a bucket, if it has as much.
    pub(super) fn check(&mut self, key: &str, quota: &Quota, cost: u32) -> Result<Check> {
        let (check, before) = self.take(Moment::now(), key, quota, cost)?;
        if !check.is_allowed() {
            self.local.put_back(before);
        }
        Ok(check)
    }

    /// Takes `cost` from each, or from none where one has less.
    pub(super) fn check_many<K: AsRef<str>>(
        &mut self,
        limits: &[(K, Quota)],
        cost: u32,
    ) -> Result<CheckMany> {
        let now = Moment::now();
        let (mut checks, mut buckets) = (Vec::new(), Vec::new());
        for (key, quota) in limits {
            let (check, before) = self.take(now, key.as_ref(), quota, cost)?;
            checks.push(check);
            buckets.push(before);
        }
        let check = together(&checks);
        if !check.is_allowed() {
            // Several can be the one that keys without room share: the last change goes first.
            buckets.into_iter().rev().for_each(|before| self.local.put_back(before));
        }
        Ok(check)
    }

    /// Takes from a bucket of this process, whether Redis would deny it or not: to be put back then.
    fn take(
        &mut self,
        now: Moment,
        key: &str,
        quota: &Quota,
        cost: u32,
    ) -> Result<(Check, Before)> {
        let (hash, terms) = (self.hasher.hash_one(key), quota.terms()?);
        let blocked = self.blocked.denies(now, hash, &terms, terms.spend(cost)?);
        let (check, before) = self.local.take(now, hash, quota, cost)?;
        Ok((stricter(check, blocked), before))
    }

    /// Forgets a denial, and fills the buckets of a key.
    pub(super) fn reset(&mut self, key: &str) {
        let hash = self.hasher.hash_one(key);
        self.blocked.remove(hash);
        self.local.fill(hash);
    }
}

/// The denial, of two the one with the longer wait.
fn stricter(check: Check, blocked: Option<Check>) -> Check {
    match (check, blocked) {
        (Check::Denied { retry_after: wait, .. }, Some(Check::Denied { retry_after, .. }))
            if wait > retry_after =>
        {
            check
        }
        (_, Some(blocked)) => blocked,
        (_, None) => check,
    }
}

/// What comes of several buckets.
fn together(checks: &[Check]) -> CheckMany {
    let (mut by, mut wait) = (Vec::new(), Duration::ZERO);
    let (mut least, mut longest) = (u32::MAX, Duration::ZERO);
    for (at, check) in checks.iter().enumerate() {
        match *check {
            Check::Allowed { remaining, reset_after } => {
                least = least.min(remaining);
                longest = longest.max(reset_after);
            }
            Check::Denied { retry_after, .. } => {
                by.push(at);
                wait = wait.max(retry_after);
            }
        }
    }
    match by.is_empty() {
        true => CheckMany::Allowed { remaining: least, reset_after: longest },
        false => CheckMany::Denied { retry_after: wait, by },
    }
}
