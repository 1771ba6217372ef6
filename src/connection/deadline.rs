//! The one deadline of a call, and how far the call has come when it passes.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};

/// Longer than anyone waits, and far below what a clock can add.
const MAX_CALL_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a call may take in all, unless the builder says otherwise.
pub(super) const DEFAULT_CALL_DEADLINE: Duration = Duration::from_millis(250);

/// When a call began and when it must have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) started: Instant,
    pub(super) at: Instant,
}

impl Deadline {
    /// A deadline that starts now.
    pub(super) fn after(limit: Duration) -> Self {
        let started = Instant::now();
        Self { started, at: started + limit }
    }

    /// How long the call may take in all.
    pub(super) fn limit(self) -> Duration {
        self.at - self.started
    }

    /// Whether it was noticed so late that it is this process that stood still: what waited says nothing.
    pub(super) fn was_missed(self) -> bool {
        self.at.elapsed() * 2 >= self.limit()
    }

    /// Waits for something that sends nothing. What is there only when the deadline has passed is
    /// too late: what follows would send.
    pub(crate) async fn bound<T>(self, wait: impl Future<Output = T>) -> Result<T> {
        match tokio::time::timeout_at(self.at, wait).await {
            Ok(got) if Instant::now() < self.at => Ok(got),
            _ => Err(Error::Unavailable("the deadline has passed".to_owned())),
        }
    }

    /// Waits so long, unless that leaves less time for what follows: whether it waited. What has been
    /// refused is better than what is sent once more and not answered in time.
    pub(super) async fn pause(self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let fits = until + wait < self.at;
        if fits {
            tokio::time::sleep_until(until).await;
        }
        fits
    }

    /// What a call ends with that is cut off when the deadline passes.
    pub(super) fn too_late(self, sent: bool) -> Error {
        let why = format!("the deadline of {:?} has passed", self.limit());
        match sent {
            true => self.unanswered(why),
            false => Error::Unavailable(why),
        }
    }

    /// What a call ends with whose reply did not come.
    pub(super) fn unanswered(self, why: String) -> Error {
        Error::Unanswered { waited: self.started.elapsed(), why }
    }
}

pub(super) fn check_deadline(deadline: Duration) -> Result<()> {
    if deadline.is_zero() {
        return Err(Error::invalid("call deadline", "must not be zero"));
    }
    if deadline >= MAX_CALL_DEADLINE {
        return Err(Error::invalid("call deadline", "must be below a day"));
    }
    Ok(())
}
