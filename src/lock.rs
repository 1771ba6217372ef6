//! Locks that only their owner can release.
//!
//! A lock is a plain string at the caller's key, `<32 hex>:<owner>`, with a TTL: its *lease*. A
//! `SET key value NX EX` of other software and a lock of this crate therefore respect each other.
//!
//! What is assumed: the server's clock is not stepped forward within a lease; the server does not
//! evict locks (`maxmemory-policy noeviction`; a handle warns at its first connect otherwise); and
//! no failover comes between, since a replica that takes over may not have the lock yet. Where two
//! holders must be impossible under all of these, the guarded resource has to check a
//! [`Fence`].

#[cfg(test)]
pub(crate) mod laws;
mod list;
mod outcome;
mod place;
mod token;

use std::sync::Arc;
use std::time::Duration;

use crate::connection::Redis;
use crate::error::{Error, Result};
use crate::key::{Fence, check_key, check_name, companion, left, millis};
use crate::script::{Call, Operation, own};
use token::Holder;

pub use outcome::{Acquire, AcquireFenced, Extend, Held, Join, LockInfo, Release, Steal};
pub use place::{Channel, Granted, Place, Told};
pub use token::LockToken;

static ACQUIRE: Operation = Operation::new(|| own("lock/acquire"));
static ACQUIRE_FENCED: Operation = Operation::new(|| own("lock/acquire_fenced"));
static EXTEND: Operation = Operation::new(|| own("lock/extend"));
static EXTEND_MANY: Operation = Operation::new(|| own("lock/extend_many"));
static RELEASE: Operation = Operation::new(|| own("lock/release"));
static JOIN: Operation = Operation::new(|| own("lock/join"));
static HAND_OVER: Operation = Operation::new(|| own("lock/hand_over"));
static LEAVE: Operation = Operation::new(|| own("lock/leave"));
static STEAL: Operation = Operation::new(|| own("lock/steal"));
static PEEK: Operation = Operation::new(|| own("lock/peek"));
static INSPECT: Operation = Operation::new(|| own("lock/inspect"));

/// The most leases of one [`Leases::extend_many`]: the server does nothing else meanwhile.
const MAX_LEASES: usize = 1000;

/// The calls on locks, by token, in the name of one owner. Each is one round trip and keeps nothing in
/// this process.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::{Redis, lock::{Acquire, Leases, Release}};
/// use std::time::Duration;
///
/// let leases = Leases::new(Redis::connect(&url).await?).with_owner("api-1")?;
/// let Acquire::Acquired(token) = leases.acquire("cleanup", Duration::from_secs(30)).await? else {
///     return Ok(()); // another instance does it
/// };
/// // … the work, in less than 30 seconds …
/// assert_eq!(leases.release("cleanup", &token).await?, Release::Freed);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Leases {
    redis: Redis,
    owner: Arc<str>,
}

impl Leases {
    /// On this handle, in the name `pid-` and the process id.
    pub fn new(redis: Redis) -> Self {
        let owner = format!("pid-{}", std::process::id()).into();
        Self { redis, owner }
    }

    /// The same in another name, for whoever [inspects](Self::inspect) them. The name makes
    /// nobody a holder: that takes the token. A token is used under the name it was acquired in,
    /// which is part of the lock's value.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the name is empty, over 512 bytes or has control characters.
    pub fn with_owner(mut self, owner: &str) -> Result<Self> {
        check_name("owner", owner)?;
        self.owner = owner.into();
        Ok(self)
    }

    /// The name in which locks are taken.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Takes the lock at `key` for `ttl` under a new token of 128 random bits, if it is free. One
    /// round trip.
    ///
    /// Dropping the future may leave the lock taken until its TTL ends.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a bad key or a TTL under a millisecond; [`Error::Unavailable`]
    /// where nothing was sent; [`Error::Server`], with `WRONGTYPE` where the key holds no string. A
    /// call that may have been executed is [`Acquire::Unknown`] instead.
    pub async fn acquire(&self, key: &str, ttl: Duration) -> Result<Acquire> {
        self.acquire_as(key, LockToken::new()?, ttl).await
    }

    /// Acquires again under the token of an [unknown](Acquire::Unknown) acquire: finds the lock that
    /// it took, renewed to `ttl` from now if less was left, or takes it. One round trip.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub async fn retry_acquire(
        &self,
        key: &str,
        token: LockToken,
        ttl: Duration,
    ) -> Result<Acquire> {
        self.acquire_as(key, token, ttl).await
    }

    async fn acquire_as(&self, key: &str, token: LockToken, ttl: Duration) -> Result<Acquire> {
        check_key(key)?;
        let ttl = millis("TTL", ttl)?;
        let call = ACQUIRE.call(&self.redis).key("lock", key);
        let call = call.arg("holder", self.holder(&token)).arg("ttl", ttl);
        match call.run().await {
            Ok(0) => Ok(Acquire::Acquired(token)),
            Ok(ms) => Ok(Acquire::Held { left: left(ms) }),
            Err(error) if error.may_have_executed() => Ok(Acquire::Unknown { token, error }),
            Err(error) => Err(error),
        }
    }

    /// [Acquires](Self::acquire) with a [`Fence`], a number above that of every hold of this lock that
    /// had one. One round trip.
    ///
    /// It is the last fence and one, or the server's microseconds where those are more. So it rises as
    /// long as either survives: the counter, a key beside the lock that stays until a day after the
    /// lease; or a server's clock that is not behind the last fence.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire); [`Error::Server`] with `BADVALUE` where the counter's key holds
    /// another string.
    pub async fn acquire_fenced(&self, key: &str, ttl: Duration) -> Result<AcquireFenced> {
        self.retry_acquire_fenced(key, LockToken::new()?, ttl).await
    }

    /// Acquires again under the token of an [unknown](AcquireFenced::Unknown) acquire, as
    /// [`retry_acquire`](Self::retry_acquire) does: where that took the lock, under the fence that it got.
    /// One round trip.
    ///
    /// # Errors
    ///
    /// As [`acquire_fenced`](Self::acquire_fenced).
    pub async fn retry_acquire_fenced(
        &self,
        key: &str,
        token: LockToken,
        ttl: Duration,
    ) -> Result<AcquireFenced> {
        check_key(key)?;
        let ttl = millis("TTL", ttl)?;
        let call = ACQUIRE_FENCED.call(&self.redis).key("lock", key);
        let call = call.key("fence", &self.beside(key, "fence"));
        let call = call.arg("holder", self.holder(&token)).arg("ttl", ttl);
        match call.run().await {
            Ok((0, number)) => fence(number).map(|fence| AcquireFenced::Acquired { token, fence }),
            Ok((ms, _)) => Ok(AcquireFenced::Held { left: left(ms) }),
            Err(error) if error.may_have_executed() => Ok(AcquireFenced::Unknown { token, error }),
            Err(error) => Err(error),
        }
    }

    /// Moves the end of the lease to `ttl` from now if that is later, and if the token still owns
    /// the lock. One round trip.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`Error::Unanswered`]: the lease may have been extended.
    pub async fn extend(&self, key: &str, token: &LockToken, ttl: Duration) -> Result<Extend> {
        check_key(key)?;
        let ttl = millis("TTL", ttl)?;
        let call = EXTEND.call(&self.redis).key("lock", key);
        let call = call.arg("holder", self.holder(token)).arg("ttl", ttl);
        call.run().await.map(Extend::told)
    }

    /// [Extends](Self::extend) each of these leases, a key, its token and the TTL, all at one instant.
    /// What came of each, in their order. One round trip, none for an empty list.
    ///
    /// # Errors
    ///
    /// As [`extend`](Self::extend): where the server refuses one of them, as with `WRONGTYPE`, none is
    /// extended. [`Error::InvalidInput`] for more than 1000; [`Error::CrossSlot`] on a cluster where the
    /// keys lie in several slots. Nothing was sent then.
    pub async fn extend_many(
        &self,
        leases: &[(&str, &LockToken, Duration)],
    ) -> Result<Vec<Extend>> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        if leases.len() > MAX_LEASES {
            return Err(Error::invalid("leases", format!("more than {MAX_LEASES} in one call")));
        }
        let mut holders = Vec::with_capacity(leases.len());
        for (key, token, ttl) in leases {
            check_key(key)?;
            holders.push((self.holder(token), millis("TTL", *ttl)?));
        }
        let call = EXTEND_MANY.call_many(&self.redis, leases.len());
        let call = call.keys("lock", leases.iter().map(|&(key, ..)| key)).args("holder", holders);
        let told: Vec<i64> = call.run().await?;
        Ok(told.into_iter().map(Extend::told).collect())
    }

    /// Deletes the lock if the token still owns it. One round trip.
    ///
    /// # Errors
    ///
    /// As [`extend`](Self::extend). The lock then ends with its lease, if it was not freed.
    pub async fn release(&self, key: &str, token: &LockToken) -> Result<Release> {
        check_key(key)?;
        let call = RELEASE.call(&self.redis).key("lock", key);
        call.arg("holder", self.holder(token)).run().await.map(Release::told)
    }

    /// Takes the lock at `key` for `ttl` if it is free and nobody came before, or else a place in its
    /// queue, as of so long ago. Once more under the same token and with the same place it says where that
    /// stands by now: the lock that was granted meanwhile is found and renewed to `ttl` from now, and a
    /// place that was dropped is taken again. One round trip.
    ///
    /// Who has a place is granted the lock by those who [hand it over](Self::hand_over), in the order in
    /// which they came; a [`leave`](Self::leave) gives it up.
    ///
    /// # Errors
    ///
    /// As [`acquire_fenced`](Self::acquire_fenced), and [`Error::Unanswered`]: the token may have the
    /// lock, or the place. [`Error::Server`] with `TRYAGAIN` at once while the slot moves.
    pub async fn join(
        &self,
        key: &str,
        token: &LockToken,
        ttl: Duration,
        place: &Place,
        waited: Duration,
    ) -> Result<Join> {
        check_key(key)?;
        let ttl = millis("TTL", ttl)?;
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        let call = self.queued(&JOIN, key).arg("holder", self.holder(token)).arg("ttl", ttl);
        let call = call.arg("place", place.of(self.holder(token))).arg("waited", waited);
        let (ms, number, at): (i64, i64, i64) = call.at_once().run().await?;
        Ok(match ms {
            0 => Join::Acquired { fence: Fence::told(number) },
            ms => Join::Queued { left: left(ms), at: at.unsigned_abs() },
        })
    }

    /// Releases the lock if the token still owns it, and grants it to the first in its queue who can be
    /// told, in one step. One round trip.
    ///
    /// Where the server refuses that, as it does for several keys of a slot that moves, the lock is
    /// [released](Self::release) alone, in a second one: those who wait find it free when they next ask.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub async fn hand_over(&self, key: &str, token: &LockToken) -> Result<Release> {
        check_key(key)?;
        let call = self.queued(&HAND_OVER, key).arg("holder", self.holder(token));
        match call.at_once().run().await {
            // Another call than this may pass.
            Err(Error::Server(error)) if !error.kind.is_node_fault() => {
                self.release(key, token).await
            }
            freed => freed.map(Release::told),
        }
    }

    /// Gives up a place in the queue, and [hands the lock over](Self::hand_over) if it was granted to the
    /// token meanwhile. One round trip.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    pub async fn leave(&self, key: &str, token: &LockToken, place: &Place) -> Result<Release> {
        check_key(key)?;
        let call = self.queued(&LEAVE, key).arg("holder", self.holder(token));
        call.arg("place", place.of(self.holder(token))).run().await.map(Release::told)
    }

    /// The channel on which a [place](Place) in the queue of this lock is told: what to subscribe to.
    pub fn channel(&self, key: &str, channel: Channel) -> String {
        format!("{}{}:{channel}", self.redis.prefix(), self.beside(key, "queue"))
    }

    /// Who holds the lock at `key`, if anyone. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a bad key; [`Error::Server`], with `WRONGTYPE` where the key holds
    /// no string; [`Error::Unavailable`] or [`Error::Unanswered`].
    pub async fn peek(&self, key: &str) -> Result<Option<Held>> {
        check_key(key)?;
        let held: Option<(Vec<u8>, i64)> = PEEK.call(&self.redis).key("lock", key).run().await?;
        Ok(held.map(|(lock, ms)| Held { owner: token::owner(&lock), left: left(ms) }))
    }

    /// The hold of the lock at `key`, if anyone has it, with its [`Fence`] and how many wait: whom one can [steal](Self::steal) from. One round
    /// trip.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek), and `WRONGTYPE` where a key beside it is something else.
    pub async fn inspect(&self, key: &str) -> Result<Option<LockInfo>> {
        check_key(key)?;
        let held: Option<_> = self.queued(&INSPECT, key).run().await?;
        Ok(held.map(LockInfo::new))
    }

    /// Takes the lock at `key` for `ttl` from the hold that was [seen](Self::inspect), whatever is
    /// left of its lease, with a new [`Fence`]. From another hold it takes nothing. For operators: the
    /// holder may be at work. One round trip.
    ///
    /// The holder is not told. It learns of it from its next `extend`: a guard with renewal within a third
    /// of its TTL, if it can reach the server. Else it believes in its hold until its own deadline, for as
    /// long as its lease had [left](LockInfo::left). What stops its writes until then is a resource that
    /// refuses an older fence.
    ///
    /// # Errors
    ///
    /// As [`acquire_fenced`](Self::acquire_fenced). A call that may have been executed is
    /// [`Steal::Unknown`] instead.
    pub async fn steal(&self, key: &str, from: &LockInfo, ttl: Duration) -> Result<Steal> {
        self.steal_as(key, LockToken::new()?, from, ttl).await
    }

    pub(crate) async fn steal_as(
        &self,
        key: &str,
        token: LockToken,
        from: &LockInfo,
        ttl: Duration,
    ) -> Result<Steal> {
        check_key(key)?;
        let ttl = millis("TTL", ttl)?;
        let call =
            STEAL.call(&self.redis).key("lock", key).key("fence", &self.beside(key, "fence"));
        let call = call.arg("from", &from.seen.lock).arg("seen", &from.seen.counter);
        let call = call.arg("holder", self.holder(&token)).arg("ttl", ttl);
        match call.run().await {
            Ok(0) => Ok(Steal::Changed),
            Ok(number) => fence(number).map(|fence| Steal::Stolen { token, fence }),
            Err(error) if error.may_have_executed() => Ok(Steal::Unknown { token, error }),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// A call on a lock and all that stands beside it.
    fn queued(&self, operation: &'static Operation, key: &str) -> Call<'_> {
        let call = operation.call(&self.redis).key("lock", key);
        call.key("queue", &self.beside(key, "queue")).key("fence", &self.beside(key, "fence"))
    }

    fn beside(&self, key: &str, name: &str) -> String {
        companion(self.redis.prefix(), key, name)
    }

    fn holder<'a>(&'a self, token: &'a LockToken) -> Holder<'a> {
        Holder::new(token, &self.owner)
    }
}

/// What the scripts tell of a fence.
fn fence(number: i64) -> Result<Fence> {
    Fence::told(number).ok_or_else(|| Error::Reply {
        call: "lock".to_owned(),
        expected: "fence".to_owned(),
        got: "another number".to_owned(),
    })
}
