//! The wait of whoever is at the front of the line for a lock: a place in its queue on the server, and
//! word of a grant.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::attempt::{Attempt, Sent};
use super::hold::Hold;
use super::line::Turn;
use crate::clock::Moment;
use crate::error::{Error, Result, ServerErrorKind};
use crate::lock::{Place, Told};
use crate::releases::Pending;

/// So long the lock is granted to one who waits, until it is heard of them.
const GRANT: Duration = Duration::from_secs(1);
/// After so long one asks again, in case that what was to be heard was lost.
const RECHECK: Duration = Duration::from_secs(1);
/// Where nothing can be heard.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// Whether waiting mends it: a node that is away or busy, a slot that moves.
pub(super) fn passes(error: &Error) -> bool {
    let passing = [ServerErrorKind::TryAgain, ServerErrorKind::Busy];
    error.is_node_fault() || error.server_kind().is_some_and(|kind| passing.contains(&kind))
}

/// Whether the keys of a call are on two nodes for now.
fn is_apart(error: &Error) -> bool {
    error.server_kind() == Some(ServerErrorKind::TryAgain)
}

/// A wait for a lock.
pub(super) struct Wait {
    pub(super) came: Moment,
    pub(super) ttl: Duration,
    pub(super) ends: Instant,
}

/// What a wait ended with.
pub(super) enum Waited {
    Acquired(Arc<Hold>, Pending),
    /// Acquired by a grant, which is to be taken up.
    Granted(Arc<Hold>, Pending),
    Held {
        left: Option<Duration>,
    },
}

impl Wait {
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// What all of it ends with: that the last of it was not sent says nothing of what was sent before.
    pub(super) fn weigh(&self, attempt: &Attempt<'_>, error: Error) -> Error {
        if error.may_have_executed() || !attempt.may_hold() {
            return error;
        }
        let waited = Moment::now().since(self.came);
        Error::Unanswered { waited, why: format!("an attempt before may have the lock: {error}") }
    }

    /// Waits at the front of the line. `again` begins a new attempt; it fails when no more are wanted.
    ///
    /// # Errors
    ///
    /// What still fails when the wait is over, or what no wait mends.
    pub(super) async fn at_front<'a>(
        &self,
        mut turn: Turn,
        mut attempt: Attempt<'a>,
        again: impl Fn() -> Result<Attempt<'a>>,
    ) -> Result<Waited> {
        let grant = GRANT.min(self.ttl);
        let (mut joined, mut is_granted, mut is_queued) = (None, false, false);
        loop {
            // One attempt has one place, on one server: what is heard of it can only come from there.
            let told = turn.told(attempt.leases(), &attempt.key).await?;
            let connection = attempt.connection();
            let way = (told, connection);
            if !is_granted && joined.is_some_and(|joined| joined != way) {
                (attempt, is_queued) = (again()?.instead_of(attempt), false);
            }
            joined = Some(way);
            let place = Place::new(told, grant)?;
            let mut outcome = attempt.join(place, Moment::now().since(self.came)).await;
            if outcome.as_ref().is_err_and(is_apart) {
                // While the slot moves one waits by the lock alone.
                outcome = attempt.send().await;
            }
            let is_heard = told != Told::Never && outcome.is_ok() && attempt.is_queued();
            let outcome = match outcome {
                Ok(Sent::Acquired(hold, pending)) => {
                    if is_queued && !is_granted {
                        turn.suspect();
                    }
                    return Ok(Waited::Acquired(hold, pending));
                }
                Ok(Sent::Held { left }) => Ok(left),
                Ok(Sent::Unknown(error)) => Err(error),
                Err(error) if passes(&error) => Err(error),
                Err(error) => return Err(error),
            };
            if self.is_over() {
                let outcome = outcome.map_err(|error| self.weigh(&attempt, error));
                return outcome.map(|left| Waited::Held { left });
            }
            let recheck = if is_heard { RECHECK } else { POLL };
            // A lease in its last millisecond has none left, and is still held.
            let left = outcome.unwrap_or_default().map(|left| left + Duration::from_millis(1));
            let until = Instant::now() + left.map_or(recheck, |left| left.min(recheck));
            (is_queued, is_granted) = (true, false);
            loop {
                let heard = tokio::select! {
                    heard = turn.granted() => heard,
                    () = sleep_until(until.min(self.ends)) => break,
                };
                let Some((granted, at)) = heard else { break };
                if !attempt.is_granted(&granted) {
                    continue;
                }
                is_granted = true;
                // By another connection the two clocks may be those of two servers: one asks then.
                if connection == attempt.connection()
                    && let Some((hold, pending)) = attempt.granted(&granted, at, grant)
                {
                    return Ok(Waited::Granted(hold, pending));
                }
                break;
            }
        }
    }
}
