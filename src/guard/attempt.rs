//! One attempt to take a lock, under one token, however often it is sent.

use std::sync::Arc;
use std::time::Duration;

use super::hold::Hold;
use crate::clock::{DRIFT, Moment, trusted};
use crate::error::{Error, Result};
use crate::key::Fence;
use crate::lock::{
    Acquire, AcquireFenced, Granted, Join, Leases, LockInfo, LockToken, Place, Steal,
};
use crate::releases::{Pending, Releases, Way};

/// Dropped at any time it leaves no lock behind and no place in a queue: what it may have taken is
/// released in the background.
pub(super) struct Attempt<'a> {
    leases: &'a Leases,
    releases: &'a Releases,
    pub(super) key: Arc<str>,
    ttl: Duration,
    fenced: bool,
    token: LockToken,
    /// What was sent and may have taken the lock or a place.
    pending: Option<Pending>,
    /// Whether another before this one may have, and is released in the background.
    follows: bool,
    /// By which the server's clock is compared with ours.
    stamp: Option<Stamp>,
}

/// One instant by two clocks, by ours at the latest: that before the server was asked for its own.
struct Stamp {
    asked: Moment,
    server: u64,
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
        let (token, key) = (LockToken::new()?, key.into());
        let (pending, stamp, follows) = (None, None, false);
        Ok(Self { leases, releases, key, ttl, fenced, token, pending, follows, stamp })
    }

    /// This one instead of another, which is given up.
    pub(super) fn instead_of(mut self, other: Self) -> Self {
        self.follows = other.may_hold();
        self
    }

    /// Whether what was sent may have taken the lock or a place by which it is granted.
    pub(super) fn may_hold(&self) -> bool {
        self.pending.is_some() || self.follows
    }

    /// Takes the lock if it is free; once more under the same token where the last answer is not known.
    ///
    /// # Errors
    ///
    /// What says for certain that this call took nothing.
    pub(super) async fn send(&mut self) -> Result<Sent> {
        let is_first = self.arm(Way::HandOver);
        let started = Moment::now();
        let answer = self.call().await;
        self.settle_first(answer, started, is_first)
    }

    /// Takes the lock or this place in its queue, as of so long ago, or asks how both stand by now.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn join(&mut self, place: Place, waited: Duration) -> Result<Sent> {
        let place = if self.fenced { place.with_fence() } else { place };
        let is_first = self.arm(Way::Leave(Box::new(place)));
        let asked = Moment::now();
        let answer = self.leases.join(&self.key, &self.token, self.ttl, &place, waited).await;
        self.stamp = None;
        let answer = match answer {
            Ok(Join::Acquired { fence }) => Ok(Answer::Acquired(fence)),
            Ok(Join::Queued { left, at }) => {
                self.stamp = Some(Stamp { asked, server: at });
                Ok(Answer::Held { left })
            }
            Err(error) if error.may_have_executed() => Ok(Answer::Unknown(error)),
            Err(error) => Err(error),
        };
        let outcome = self.settle(answer, asked);
        if is_first && outcome.is_err() {
            self.disarm();
        }
        outcome
    }

    pub(super) fn leases(&self) -> &'a Leases {
        self.leases
    }

    /// The present connection to where it is sent.
    pub(super) fn connection(&self) -> Option<u64> {
        self.leases.redis().connection(&self.key)
    }

    /// Takes the lock from this hold. Where another has it by now it is held, as for any call.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn steal(&mut self, from: &LockInfo) -> Result<Sent> {
        let is_first = self.arm(Way::HandOver);
        let started = Moment::now();
        let stolen = self.leases.steal_as(&self.key, self.token.clone(), from, self.ttl).await;
        let answer = stolen.map(|stolen| match stolen {
            Steal::Stolen { fence, .. } => Answer::Acquired(Some(fence)),
            Steal::Changed => Answer::Held { left: None },
            Steal::Unknown { error, .. } => Answer::Unknown(error),
        });
        self.settle_first(answer, started, is_first)
    }

    /// Whether it has its place in the queue, by the last answer to a join.
    pub(super) fn is_queued(&self) -> bool {
        self.stamp.is_some()
    }

    /// Whether a grant is to this attempt.
    pub(super) fn is_granted(&self, granted: &Granted) -> bool {
        granted.is_to(&self.token)
    }

    /// The hold that was granted to this attempt, as far as it can be trusted without asking: nothing
    /// where too little is left of the grant, or where the server's clock was stepped meanwhile.
    ///
    /// The server granted it so long after it was asked as its own clock says, so that by ours it was then
    /// or later; and it was before this was heard. The earlier of the two counts.
    pub(super) fn granted(
        &mut self,
        granted: &Granted,
        heard: Moment,
        grant: Duration,
    ) -> Option<(Arc<Hold>, Pending)> {
        let Stamp { asked, server } = self.stamp.take()?;
        let between = Duration::from_micros(granted.at.checked_sub(server)?);
        // The two clocks may have gone at another pace all the time.
        let drift = between / DRIFT;
        let counted = asked.after(between);
        if counted.before(drift) > heard {
            // Heard before it was said: one of the two readings was of a clock that was stepped.
            return None;
        }
        let started = counted.min(heard).before(drift);
        let hold = self.hold(granted.fence, started, grant);
        if hold.remaining() < grant / 2 {
            return None;
        }
        Some((hold, self.won()))
    }

    /// Where nothing was sent before that may have taken the lock, and this did not either, nothing is to
    /// be released.
    fn settle_first(
        &mut self,
        answer: Result<Answer>,
        started: Moment,
        is_first: bool,
    ) -> Result<Sent> {
        let outcome = self.settle(answer, started);
        if is_first && matches!(outcome, Ok(Sent::Held { .. }) | Err(_)) {
            self.disarm();
        }
        outcome
    }

    fn settle(&mut self, answer: Result<Answer>, started: Moment) -> Result<Sent> {
        let waited = Moment::now().since(started);
        match answer? {
            Answer::Acquired(fence) if waited < trusted(self.ttl) => {
                Ok(Sent::Acquired(self.hold(fence, started, self.ttl), self.won()))
            }
            Answer::Acquired(_) => {
                let why = "the answer came when the lease could have ended".to_owned();
                Ok(Sent::Unknown(Error::Unanswered { waited, why }))
            }
            Answer::Held { left } => Ok(Sent::Held { left }),
            Answer::Unknown(error) => Ok(Sent::Unknown(error)),
        }
    }

    fn hold(&self, fence: Option<Fence>, started: Moment, lease: Duration) -> Arc<Hold> {
        let (leases, key, token) = (self.leases.clone(), Arc::clone(&self.key), self.token.clone());
        Arc::new(Hold::new(leases, key, token, fence, self.ttl, started.after(trusted(lease))))
    }

    /// From now on what was taken is to be released in this way; a place that may have been taken is left
    /// as well. Whether nothing was sent before.
    fn arm(&mut self, way: Way) -> bool {
        let is_first = self.pending.is_none();
        let mut pending = self.pending();
        if is_first || matches!(way, Way::Leave(_)) {
            pending.by(way);
        }
        self.pending = Some(pending);
        is_first
    }

    fn disarm(&mut self) {
        if let Some(pending) = self.pending.take() {
            pending.disarm();
        }
    }

    /// What releases the lock that was taken.
    fn won(&mut self) -> Pending {
        let mut pending = self.pending();
        pending.by(Way::HandOver);
        pending
    }

    fn pending(&mut self) -> Pending {
        let new = || self.releases.pending(self.leases, &self.key, &self.token, self.ttl);
        self.pending.take().unwrap_or_else(new)
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
