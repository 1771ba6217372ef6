//! One attempt to take a lock, under one token, however often it is sent.

use std::sync::Arc;
use std::time::Duration;

use super::clock::{Moment, trusted};
use super::hold::Hold;
use crate::error::{Error, Result};
use crate::lock::{Acquire, Leases, LockToken};
use crate::releases::{Pending, Releases};

/// Dropped at any time it leaves no lock behind: what it may have taken is released in the background.
pub(super) struct Attempt<'a> {
    leases: &'a Leases,
    releases: &'a Releases,
    key: Arc<str>,
    ttl: Duration,
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

impl<'a> Attempt<'a> {
    pub(super) fn new(
        leases: &'a Leases,
        releases: &'a Releases,
        key: &str,
        ttl: Duration,
    ) -> Result<Self> {
        if trusted(ttl).is_zero() {
            return Err(Error::invalid("TTL", "must be at least 3 milliseconds"));
        }
        let token = LockToken::new()?;
        Ok(Self { leases, releases, key: key.into(), ttl, token, sent: None })
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
        let outcome = self.leases.retry_acquire(&self.key, self.token.clone(), self.ttl).await;
        let waited = Moment::now().since(started);
        let outcome = match outcome {
            Ok(Acquire::Acquired(token)) if waited < trusted(self.ttl) => {
                let (leases, key) = (self.leases.clone(), Arc::clone(&self.key));
                let hold = Hold::new(leases, key, token, self.ttl, started);
                return Ok(Sent::Acquired(Arc::new(hold), pending));
            }
            Ok(Acquire::Acquired(_)) => {
                let why = "the answer came when the lease could have ended".to_owned();
                Ok(Sent::Unknown(Error::Unanswered { waited, why }))
            }
            Ok(Acquire::Unknown { error, .. }) => Ok(Sent::Unknown(error)),
            Ok(Acquire::Held { left }) => Ok(Sent::Held { left }),
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
}
