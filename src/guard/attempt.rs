//! One attempt to take a lock, under one token, however often it is sent.

use std::sync::Arc;
use std::time::Duration;

use super::clock::{Moment, trusted};
use super::hold::Hold;
use crate::error::{Error, Result};
use crate::key::Fence;
use crate::lock::{Acquire, AcquireFenced, Leases, LockToken};
use crate::releases::{Pending, Releases};

/// Dropped at any time it leaves no lock behind: what it may have taken is released in the background.
pub(super) struct Attempt<'a> {
    leases: &'a Leases,
    releases: &'a Releases,
    key: Arc<str>,
    ttl: Duration,
    fenced: bool,
    token: LockToken,
    /// What was sent and may have taken the lock.
    sent: Option<(Moment, Pending)>,
}

/// What came of sending an attempt.
pub(super) enum Sent {
    Acquired(Arc<Hold>, Pending),
    Held {
        left: Option<Duration>,
    },
    /// Not answered, or too late: the lock may be this token's.
    Unknown(Error),
}

/// What the server answers, with a fence or without.
enum Answer {
    Acquired(Option<Fence>),
    Held { left: Option<Duration> },
    Unknown(Error),
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        leases: &'a Leases,
        releases: &'a Releases,
        key: &str,
        ttl: Duration,
        fenced: bool,
    ) -> Result<Self> {
        if trusted(ttl).is_zero() {
            return Err(Error::invalid("TTL", "must be at least 3 milliseconds"));
        }
        let token = LockToken::new()?;
        Ok(Self { leases, releases, key: key.into(), ttl, fenced, token, sent: None })
    }

    /// Whether it would be lost as soon as it is won: the time counts from when it was first sent.
    pub(super) fn is_too_old(&self) -> bool {
        let of = |(started, _): &(Moment, _)| Moment::now().since(*started) >= trusted(self.ttl);
        self.sent.as_ref().is_some_and(of)
    }

    /// Sends it, once more under the same token where the last answer is not known.
    ///
    /// # Errors
    ///
    /// What says for certain that this call took nothing.
    pub(super) async fn send(&mut self) -> Result<Sent> {
        let is_first = self.sent.is_none();
        let (started, pending) = self.sent.take().unwrap_or_else(|| {
            let pending = self.releases.pending(self.leases, &self.key, &self.token, self.ttl);
            (Moment::now(), pending)
        });
        let outcome = self.call().await;
        let waited = Moment::now().since(started);
        let outcome = match outcome {
            Ok(Answer::Acquired(fence)) if waited < trusted(self.ttl) => {
                let (leases, key) = (self.leases.clone(), Arc::clone(&self.key));
                let token = self.token.clone();
                let hold = Hold::new(leases, key, token, fence, self.ttl, started);
                return Ok(Sent::Acquired(Arc::new(hold), pending));
            }
            Ok(Answer::Acquired(_)) => {
                let why = "the answer came when the lease could have ended".to_owned();
                Ok(Sent::Unknown(Error::Unanswered { waited, why }))
            }
            Ok(Answer::Unknown(error)) => Ok(Sent::Unknown(error)),
            Ok(Answer::Held { left }) => Ok(Sent::Held { left }),
            Err(error) => Err(error),
        };
        // What was sent before may still be on its way.
        if is_first && !matches!(outcome, Ok(Sent::Unknown(_))) {
            pending.disarm();
        } else {
            self.sent = Some((started, pending));
        }
        outcome
    }
    async fn call(&self) -> Result<Answer> {
        let (key, token) = (&self.key, self.token.clone());
        Ok(if self.fenced {
            match self.leases.retry_acquire_fenced(key, token, self.ttl).await? {
                AcquireFenced::Acquired { fence, .. } => Answer::Acquired(Some(fence)),
                AcquireFenced::Held { left } => Answer::Held { left },
                AcquireFenced::Unknown { error, .. } => Answer::Unknown(error),
            }
        } else {
            match self.leases.retry_acquire(key, token, self.ttl).await? {
                Acquire::Acquired(_) => Answer::Acquired(None),
                Acquire::Held { left } => Answer::Held { left },
                Acquire::Unknown { error, .. } => Answer::Unknown(error),
            }
        })
    }
}
