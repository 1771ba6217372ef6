//! Taking locks, and waiting for them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::LockGuard;
use super::attempt::{Attempt, Sent};
use super::hold::Hold;
use super::keeper::Keeper;
use super::line::Lines;
use super::wait::{POLL, Wait, Waited, passes};
use crate::clock::Moment;
use crate::connection::Redis;
use crate::error::{Error, Result};
use crate::lock::{Leases, LockInfo};
use crate::observe;
use crate::releases::{Pending, Releases};

/// How many locks are released in the background at a time.
const RELEASES_AT_ONCE: usize = 10_000;
/// Longer than anyone waits.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Locks with guards, taken in the name of one owner. Cheap to clone: clones share the task that
/// renews and what is released in the background.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::{Locks, Redis, guard::Acquisition};
/// use std::time::Duration;
///
/// let locks = Locks::new(Redis::connect(&url).await?).with_owner("api-1")?.with_renewal();
/// let (ttl, max_wait) = (Duration::from_secs(10), Duration::from_secs(2));
/// let Acquisition::Acquired(guard) = locks.acquire("report", ttl, max_wait).await? else {
///     return Ok(()); // another had it all the time
/// };
/// let report = guard.run(async { "the work, however long" }).await?;
/// guard.release().await?;
/// # locks.close(Duration::from_secs(1)).await?;
/// # assert_eq!(report, "the work, however long");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Locks {
    leases: Leases,
    renews: bool,
    fences: bool,
    shared: Arc<Shared>,
}

struct Shared {
    releases: Releases,
    keeper: Arc<Keeper>,
    lines: Lines,
    closed: watch::Sender<bool>,
    /// Read by each acquire until it has ended.
    under_way: RwLock<()>,
}

/// What came of acquiring.
#[derive(Debug)]
#[must_use = "an acquired lock is released when its guard is dropped"]
pub enum Acquisition {
    /// The lock is this guard's.
    Acquired(LockGuard),
    /// Another held it, to the last.
    Held {
        /// The time left of its lease; none where it has no end.
        left: Option<Duration>,
    },
}

/// Some locks could not be released in time. They are tried further, until their leases have ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} locks are not released yet", keys.len())]
#[non_exhaustive]
pub struct Unreleased {
    /// Their keys; none where an acquire had not ended in time.
    pub keys: Vec<String>,
}

impl Acquisition {
    /// The guard, if the lock was acquired.
    pub fn guard(self) -> Option<LockGuard> {
        match self {
            Self::Acquired(guard) => Some(guard),
            Self::Held { .. } => None,
        }
    }
}

impl Locks {
    /// Locks on this handle, without renewal, in the name `pid-` and the process id.
    pub fn new(redis: Redis) -> Self {
        Self { leases: Leases::new(redis), renews: false, fences: false, shared: Arc::default() }
    }

    /// The same in another name, for whoever inspects a lock, sharing nothing with those before. The
    /// name makes nobody a holder.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the name is empty, over 512 bytes or has control characters.
    pub fn with_owner(self, owner: &str) -> Result<Self> {
        let leases = self.leases.with_owner(owner)?;
        // One renewal is for leases of one owner.
        Ok(Self { leases, shared: Arc::default(), ..self })
    }

    /// The same with guards that are renewed in the background, at a third of their TTL, until they
    /// end. The TTL is then no bound on the work but on how long a lock outlives a process that died.
    ///
    /// One task renews all guards, on the runtime that acquired the first of them, those of one slot in
    /// one call. Work that blocks all threads of the runtime stops it: such work belongs into
    /// [`spawn_blocking`](tokio::task::spawn_blocking). A renewal without an answer is tried again until
    /// the guard's deadline; one that finds the lock gone makes the guard lost at once.
    pub fn with_renewal(mut self) -> Self {
        self.renews = true;
        self
    }

    /// The same with guards that have a [fence](LockGuard::fence), for resources that refuse an older
    /// one. All who take a lock of one name should have it: a hold without one cannot be told apart.
    pub fn with_fencing(mut self) -> Self {
        self.fences = true;
        self
    }

    /// The name in which locks are taken.
    pub fn owner(&self) -> &str {
        self.leases.owner()
    }

    /// Takes the lock at `key` for `ttl`, if it is free. One round trip.
    ///
    /// Safe to drop at any time: what it may have taken is released in the background.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a bad key or a TTL under 3 milliseconds; [`Error::Unavailable`] where
    /// nothing was sent, and after [`close`](Self::close); [`Error::Server`], with `WRONGTYPE` where the
    /// key holds no string; [`Error::Unanswered`]: it is not known who has the lock. If it was taken, it
    /// is released in the background.
    pub async fn try_acquire(&self, key: &str, ttl: Duration) -> Result<Acquisition> {
        let _under_way = self.begin()?;
        match self.attempt(key, ttl)?.send().await? {
            Sent::Acquired(hold, pending) => Ok(self.guard(hold, pending)),
            Sent::Held { left } => Ok(Acquisition::Held { left }),
            Sent::Unknown(error) => Err(error),
        }
    }

    /// Takes the lock at `key` for `ttl` as soon as it is free and nobody came before, within `max_wait`,
    /// which what is under way by then prolongs by two of the handle's call deadlines at the most. A Redis
    /// that is away is waited for as well, as is a slot that moves.
    ///
    /// One round trip where the lock is free. Else two more, to subscribe and to [wait in
    /// line](super#waiting-in-line); one where others of these locks have waited for it in the last
    /// seconds. Then one a second, and one when a lease ends, until the lock is handed over.
    ///
    /// What was handed over is the guard's for a second, or `ttl` if that is shorter, until the runtime has
    /// sent one more call: work that blocks all its threads belongs into
    /// [`spawn_blocking`](tokio::task::spawn_blocking).
    ///
    /// Safe to drop at any time, as [`try_acquire`](Self::try_acquire). One that is kept and not polled
    /// keeps others of these locks from the front of the line.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), for what still fails when the wait is over or for what no
    /// wait mends.
    pub async fn acquire(
        &self,
        key: &str,
        ttl: Duration,
        max_wait: Duration,
    ) -> Result<Acquisition> {
        let ends = Instant::now() + max_wait.min(FAR);
        let wait = Wait { came: Moment::now(), ttl, ends };
        let _under_way = self.begin()?;
        let observed = observe::Wait::begin();
        let waited = tokio::select! {
            waited = self.wait(key, &wait) => waited,
            () = self.shared.closing() => Err(closed()),
        };
        observed.end(match &waited {
            Ok(Waited::Acquired(..) | Waited::Granted(..)) => "acquired",
            Ok(Waited::Held { .. }) => "held",
            Err(error) => observe::failure(error),
        });
        Ok(match waited? {
            Waited::Acquired(hold, pending) => self.guard(hold, pending),
            Waited::Granted(hold, pending) => {
                let keeping = self.shared.keeper.take_up(&hold, !self.renews);
                Acquisition::Acquired(LockGuard::new(hold, Some(keeping), pending))
            }
            Waited::Held { left } => Acquisition::Held { left },
        })
    }

    async fn wait(&self, key: &str, wait: &Wait) -> Result<Waited> {
        let again = || self.attempt(key, wait.ttl);
        let mut attempt = again()?;
        let line = match self.shared.lines.find(key) {
            Some(line) if !wait.is_over() => line,
            _ => loop {
                // Until it is answered: whoever is before in line must not wait for what this one took.
                match attempt.send().await {
                    Ok(Sent::Acquired(hold, pending)) => {
                        return Ok(Waited::Acquired(hold, pending));
                    }
                    Ok(Sent::Held { left }) if wait.is_over() => return Ok(Waited::Held { left }),
                    Ok(Sent::Held { .. }) => break self.shared.lines.enter(&attempt.key),
                    Err(error) if !passes(&error) => return Err(error),
                    Err(error) | Ok(Sent::Unknown(error)) if wait.is_over() => {
                        return Err(wait.weigh(&attempt, error));
                    }
                    Err(_) | Ok(Sent::Unknown(_)) => {
                        sleep_until(wait.ends.min(Instant::now() + POLL)).await;
                    }
                }
            },
        };
        match line.turn(wait.ends).await {
            Some(turn) => wait.at_front(turn, attempt, again).await,
            None => match attempt.send().await {
                Ok(Sent::Acquired(hold, pending)) => Ok(Waited::Acquired(hold, pending)),
                Ok(Sent::Held { left }) => Ok(Waited::Held { left }),
                Ok(Sent::Unknown(error)) => Err(error),
                Err(error) => Err(wait.weigh(&attempt, error)),
            },
        }
    }

    /// Takes the lock at `key` for `ttl` from the hold that was [inspected](Leases::inspect), with a new
    /// fence; nothing where another has it by now, or nobody. For operators, as [`Leases::steal`], which
    /// says for how long the holder can go on believing in its hold. One round trip.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire), and [`Error::Server`] with `BADVALUE` where the key of the
    /// counter of fences holds something else.
    pub async fn steal(
        &self,
        key: &str,
        from: &LockInfo,
        ttl: Duration,
    ) -> Result<Option<LockGuard>> {
        let _under_way = self.begin()?;
        match self.attempt(key, ttl)?.steal(from).await? {
            Sent::Acquired(hold, pending) => Ok(self.guard(hold, pending).guard()),
            Sent::Held { .. } => Ok(None),
            Sent::Unknown(error) => Err(error),
        }
    }

    /// The calls by token beneath, in the same name: the operator's view.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Begins to acquire nothing more, ends the waits, and waits until all that is under way has ended and
    /// what is released in the background is released, so long at the most. Guards that are still held are
    /// not waited for: release them before.
    ///
    /// # Errors
    ///
    /// [`Unreleased`] with the keys that are still locked as far as is known.
    pub async fn close(&self, within: Duration) -> Result<(), Unreleased> {
        self.shared.closed.send_replace(true);
        let ends = Instant::now() + within.min(FAR);
        let is_done = timeout_at(ends, self.shared.under_way.write()).await.is_ok();
        let left = ends.saturating_duration_since(Instant::now());
        match self.shared.releases.flush(left).await {
            keys if keys.is_empty() && is_done => Ok(()),
            keys => Err(Unreleased { keys }),
        }
    }

    /// What is under way until it is dropped.
    fn begin(&self) -> Result<RwLockReadGuard<'_, ()>> {
        // Who closes writes.
        self.shared.under_way.try_read().map_err(|_| closed())
    }

    fn attempt(&self, key: &str, ttl: Duration) -> Result<Attempt<'_>> {
        if self.is_closed() {
            return Err(closed());
        }
        Attempt::new(&self.leases, &self.shared.releases, key, ttl, self.fences)
    }

    fn is_closed(&self) -> bool {
        *self.shared.closed.borrow()
    }

    fn guard(&self, hold: Arc<Hold>, pending: Pending) -> Acquisition {
        let keeping = self.renews.then(|| self.shared.keeper.keep(&hold));
        Acquisition::Acquired(LockGuard::new(hold, keeping, pending))
    }
}

impl Default for Shared {
    fn default() -> Self {
        let (releases, closed) = (Releases::new(RELEASES_AT_ONCE), watch::Sender::new(false));
        let (keeper, lines, under_way) = (Arc::default(), Lines::default(), RwLock::default());
        Self { releases, keeper, lines, closed, under_way }
    }
}

impl Shared {
    /// Waits until no more locks are wanted.
    async fn closing(&self) {
        // It cannot fail, since the sender is here.
        let mut closed = self.closed.subscribe();
        let _closed = closed.wait_for(|closed| *closed).await;
    }
}

fn closed() -> Error {
    Error::Unavailable("these locks are closed".to_owned())
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Locks");
        debug
            .field("leases", &self.leases)
            .field("renews", &self.renews)
            .field("fences", &self.fences);
        debug.field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
