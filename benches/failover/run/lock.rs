//! Who holds which lock, as the calls were answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use auth_adapter_redis::Error;
use auth_adapter_redis::lock::Release;

/// The holders of all locks, each with whether it is the heir that made it one.
#[derive(Default)]
pub struct Holders(Mutex<HashMap<String, (usize, bool)>>);

impl Holders {
    /// A task's acquire was answered with "acquired".
    ///
    /// # Errors
    ///
    /// What is wrong: the same primary has made another task the holder, which has not begun to release.
    pub fn enter(&self, lock: &str, task: usize, by_heir: bool) -> Result<(), String> {
        let mut holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match holders.insert(lock.to_owned(), (task, by_heir)) {
            Some((other, by)) if by == by_heir => {
                Err(format!("tasks {task} and {other} both hold {lock}"))
            }
            _ => Ok(()),
        }
    }

    /// The task is about to release.
    pub fn leave(&self, lock: &str, task: usize) {
        let mut holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.get(lock).is_some_and(|(holder, _)| *holder == task) {
            holders.remove(lock);
        }
    }
}

/// A lock that is, or may be, this task's.
pub struct Hold {
    /// Whether the heir was asked for it.
    by_heir: bool,
    /// Whether the lock may be gone by this task's own doing, or never was there: the acquire or a
    /// release was not answered.
    doubtful: bool,
}

impl Hold {
    /// What an acquire gave, which was answered or not.
    pub fn new(by_heir: bool, answered: bool) -> Self {
        Self { by_heir, doubtful: !answered }
    }

    /// A release was not answered: it will be called again.
    pub fn unreleased(&mut self, error: &Error) {
        self.doubtful |= error.may_have_executed();
    }

    /// Whether the failover lost it, by the answer to a release. `after_death` says whether the heir
    /// was asked.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    pub fn released(&self, release: Release, after_death: bool) -> Result<bool, String> {
        match release {
            Release::Freed => Ok(false),
            Release::NotOurs if self.doubtful => Ok(false),
            Release::NotOurs if after_death && !self.by_heir => Ok(true),
            Release::NotOurs => Err("a lock that was held is no longer ours".to_owned()),
        }
    }
}
