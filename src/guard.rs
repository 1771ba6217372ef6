//! Locks that look after themselves: a guard knows how long it can be trusted, is renewed if told to,
//! and is released when it is dropped.
//!
//! [`Locks`] is policy over [`lock`](crate::lock), whose assumptions hold here as well: what a lock on
//! Redis cannot promise, no guard can.
//!
//! # How long a guard is held
//!
//! A guard counts its lease itself, from before the acquire was first sent, so that the server can only
//! have begun later; less a hundredth and 2 milliseconds, for clocks that go at another pace; on a
//! clock that goes on while the machine is suspended (on Linux, Android, macOS and Windows). So it says
//! lost in time when Redis or the way to it hangs, and when this process was paused. Lost is final.
//!
//! # Waiting in line
//!
//! Whoever waits has a place in a queue beside the lock. A release grants the lock to the first in it in
//! the same step, and tells that one by push, on a connection of its own that was subscribed to before the
//! place was taken. The grant is for a second, or the TTL if that is shorter, until the winner extends it in
//! the background: else a winner that has died would keep the lock from the next.
//!
//! A winner counts the grant from when it was made, which it knows without asking: the server tells its time
//! both when one joins and when it grants the lock, and so long after the join was sent it was, or the
//! moment of receipt if that is earlier; less a hundredth of all that time. Where a connection was replaced
//! in between it asks, as where too little of the grant is left.
//!
//! Those who wait with one [`Locks`] and its clones stand in a line of their own, whose first has the
//! place on the server, as of when it came. So they are served in the order in which they came, wherever
//! they wait, but for two: one whose turn in its own line has just come has yet to take its place, which is
//! a round trip; and a lock whose lease ends, rather than being released, goes to whoever asks first.
//!
//! The idea is that of queue locks, as of
//! [Mellor-Crummey and Scott](https://dl.acm.org/doi/10.1145/103727.103729): each waits for its own word,
//! and one release wakes one.
//!
//! # Not reentrant
//!
//! A task that takes a lock which it already has waits for itself, as with a mutex. Counting a second
//! hold of the same owner needs to know who asks, and neither a thread nor a task of an async runtime
//! says that: what one job spawns would be taken for a stranger, and what another runs on the same
//! thread for a friend. It would also hide which of the two ends the lock. Share the guard instead: all
//! but [`release`](LockGuard::release) takes it by reference, so that it goes into an
//! [`Arc`], and the last one that drops it releases the lock.

mod attempt;

mod hold;
mod keeper;
mod line;
mod locks;
mod wait;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Moment;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::Fence;
use crate::lock::{Extend, LockToken, Release};
use crate::releases::Pending;
use hold::Hold;
use keeper::Keeping;

pub use locks::{Acquisition, Locks, Unreleased};

/// A lock that is held, until [`lost`](Self::lost) or released.
///
/// Dropping it releases the lock in the background, on the runtime of the handle's connections, or where
/// those are the caller's own on the one that acquired it: it neither blocks nor panics, inside a runtime
/// or outside, and when that runtime has ended the lock ends with its lease. [`release`](Self::release)
/// says what came of it, and [`Locks::close`] waits for what was dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let locks = auth_adapter_redis::Locks::new(auth_adapter_redis::Redis::connect(&server.url()).await?);
/// use auth_adapter_redis::lock::Release;
/// use std::time::Duration;
///
/// let Some(guard) = locks.try_acquire("report", Duration::from_secs(10)).await?.guard() else {
///     return Ok(()); // another instance does it
/// };
/// for part in ["first", "second"] {
///     if guard.remaining() < Duration::from_secs(5) {
///         let _ = guard.extend(Duration::from_secs(10)).await?;
///     }
///     guard.run(async { println!("the {part} part") }).await?;
/// }
/// assert_eq!(guard.release().await?, Release::Freed);
/// # Ok(()) }
/// ```
#[must_use = "dropping it releases the lock"]
pub struct LockGuard {
    hold: Arc<Hold>,
    keeping: Option<Keeping>,
    pending: Option<Pending>,
}

/// The lock was lost, so that the work under it was stopped, or ended too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lock was lost")]
pub struct LockLost;

impl LockGuard {
    fn new(hold: Arc<Hold>, keeping: Option<Keeping>, pending: Pending) -> Self {
        hold.begin();
        Self { hold, keeping, pending: Some(pending) }
    }

    /// The key of the lock, without the handle's prefix.
    pub fn key(&self) -> &str {
        &self.hold.key
    }

    /// The name in which it was taken.
    pub fn owner(&self) -> &str {
        self.hold.leases.owner()
    }

    /// What proves the hold to [`lock::Leases`](crate::lock::Leases) of the same owner.
    pub fn token(&self) -> &LockToken {
        &self.hold.token
    }

    /// The number of this hold, above that of every hold of this lock before that had one; none unless the
    /// locks were made [with fencing](Locks::with_fencing). Send it with each write to what the lock
    /// guards, which refuses an older one: as [`FencedStrings`](crate::FencedStrings) do.
    pub fn fence(&self) -> Option<Fence> {
        self.hold.fence
    }

    /// How long the lock can be trusted to be this guard's; zero once it is lost.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Whether the lock can no longer be trusted to be this guard's: the lease may have ended, or the
    /// server said that it has. Final. Exact also in the moment after a pause of the process or a suspend
    /// of the machine.
    pub fn is_lost(&self) -> bool {
        self.hold.is_over()
    }

    /// Waits until the lock is lost, or the guard is released or dropped: the future is no part of it.
    /// After a suspend of the machine it may come a second late.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let hold = Arc::clone(&self.hold);
        async move { hold.over().await }
    }

    /// Does the work while the lock is held. When it is lost, the work is dropped where it stands, at
    /// its present `await`.
    ///
    /// What work has handed to others, as by [`spawn`](tokio::spawn), goes on; a step of it that is under
    /// way is not interrupted. So what it guards has to stand a step too late.
    ///
    /// # Errors
    ///
    /// [`LockLost`] where the lock was lost before the work was done. What its last step came to is then
    /// not told: it may have come too late.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, LockLost> {
        let (mut work, mut lost) = (pin!(work), pin!(self.lost()));
        poll_fn(|context| {
            // The timer may be late, so that the clock is asked as well, before each step and after.
            if self.is_lost() || lost.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(LockLost));
            }
            match work.as_mut().poll(context) {
                Poll::Ready(_) if self.is_lost() => Poll::Ready(Err(LockLost)),
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Moves the end of the lease to `ttl` from now if that is later, once. One round trip, none where
    /// the lock is lost already.
    ///
    /// It tells how long the guard can be trusted then, or that it is lost.
    ///
    /// # Errors
    ///
    /// As [`Leases::extend`](crate::lock::Leases::extend); the guard keeps its deadline then.
    pub async fn extend(&self, ttl: Duration) -> Result<Extend> {
        if self.is_lost() {
            return Ok(Extend::NotOurs);
        }
        self.hold.asked(ttl);
        let started = Moment::now();
        let outcome = self.hold.leases.extend(self.key(), self.token(), ttl).await?;
        self.hold.extended(started, outcome);
        Ok(match self.remaining() {
            Duration::ZERO => Extend::NotOurs,
            left => Extend::Extended { left },
        })
    }

    /// Releases the lock, and says what came of it. One round trip. No renewal follows.
    ///
    /// [`Release::Freed`] says that the lock was this guard's to the last, also where the guard had
    /// already given it up for lost.
    ///
    /// # Errors
    ///
    /// As [`Leases::release`](crate::lock::Leases::release). It is then tried again in the background, as
    /// it is when this future is dropped.
    pub async fn release(mut self) -> Result<Release> {
        let pending = self.finish();
        let outcome = self.hold.leases.hand_over(&self.hold.key, &self.hold.token).await?;
        if let Some(pending) = pending {
            pending.disarm();
        }
        Ok(outcome)
    }

    /// Ends the hold in this process. What is left to do is to release the lock.
    fn finish(&mut self) -> Option<Pending> {
        self.keeping = None;
        self.hold.end();
        let mut pending = self.pending.take();
        if let Some(pending) = &mut pending {
            pending.lasting(self.hold.longest());
        }
        pending
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        drop(self.finish());
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", &self.key())
            .field("owner", &self.owner())
            .field("fence", &self.fence())
            .field("remaining", &self.remaining())
            .field("renewed", &self.keeping.is_some())
            .finish_non_exhaustive()
    }
}
