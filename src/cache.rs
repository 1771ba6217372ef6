//! The typed cache: strings with a TTL, and deleting many keys at one instant.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Cmd, RedisWrite};
use tokio::task::JoinSet;

use crate::connection::{Deadline, Redis};
use crate::error::{Error, Result, SlotFailure};
use crate::key::{check_key, millis, slot};
use crate::observe;
use crate::script::{Operation, decode, own};

static DELETE_MANY: Operation = Operation::new(|| own("cache/delete_many"));

/// The most keys of one [`Cache::delete_many`]: a server takes a million words in one command.
const MAX_KEYS: usize = 1_000_000;

/// Cached strings, with every error told. [`RedisCacheAdapter`](crate::RedisCacheAdapter) is the
/// form that never fails.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = auth_adapter_redis::testing::Server::start()?;
/// # let url = server.url();
/// use auth_adapter_redis::{Cache, Redis};
/// use std::time::Duration;
///
/// let cache = Cache::new(Redis::connect(&url).await?);
/// cache.set("user:42", "[]", Duration::from_secs(3600)).await?;
/// assert_eq!(cache.get("user:42").await?.as_deref(), Some("[]"));
/// assert_eq!(cache.delete_many(&["user:42", "user:43"]).await?, 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Cache {
    redis: Redis,
}

/// What a read of the cache came to.
#[derive(Debug)]
#[must_use]
pub enum Read {
    /// This is there.
    Hit(String),
    /// Nothing is there: read the source, and [fill](Cache::fill) the cache.
    Miss,
    /// Redis could not say, for this reason: read the source.
    Degraded(Error),
}

/// What filling the cache came to.
#[derive(Debug)]
#[must_use]
pub enum Fill {
    /// It is there now.
    Filled,
    /// It may not be, for this reason. Nothing depends on it.
    Degraded(Error),
}

impl Cache {
    /// A cache on this handle.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// The string at `key`, if there is one. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] where the key is empty, over 2048 bytes or has control characters;
    /// [`Error::Server`] with `WRONGTYPE` where it holds no string; [`Error::Reply`] where that is
    /// not UTF-8; [`Error::Unavailable`] or [`Error::Unanswered`].
    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        let observed = observe::Read::begin();
        let got = self.fetch(key).await;
        observed.end(came_to(got.as_ref().map(Option::is_some)));
        got
    }

    pub(crate) async fn fetch(&self, key: &str) -> Result<Option<String>> {
        let reply = self.redis.command(&self.on("GET", key, 0)?).await?;
        decode("GET", reply)
    }

    /// The string at `key` for whoever can do without the cache: that Redis is away, or refuses what a
    /// sound server would do, is [`Read::Degraded`] and no error. One round trip.
    ///
    /// # Errors
    ///
    /// What would also fail on a sound server: of those of [`get`](Self::get) all but
    /// [`Error::Unavailable`], [`Error::Unanswered`] and [`Error::Server`] without `WRONGTYPE`.
    pub async fn read(&self, key: &str) -> Result<Read> {
        let observed = observe::Read::begin();
        let read = self.read_unobserved(key).await;
        observed.end(Read::came_to(&read));
        read
    }

    /// The same, for whoever observes what is made of it.
    pub(crate) async fn read_unobserved(&self, key: &str) -> Result<Read> {
        match self.fetch(key).await {
            Ok(Some(value)) => Ok(Read::Hit(value)),
            Ok(None) => Ok(Read::Miss),
            Err(error) if error.is_rejection() => Err(error),
            Err(error) => Ok(Read::Degraded(error)),
        }
    }

    /// [`set`](Self::set) for whoever can do without the cache, as [`read`](Self::read). One round trip.
    ///
    /// # Errors
    ///
    /// What would also fail on a sound server: [`Error::InvalidInput`].
    pub async fn fill(&self, key: &str, value: &str, ttl: Duration) -> Result<Fill> {
        match self.set(key, value, ttl).await {
            Ok(()) => Ok(Fill::Filled),
            Err(error) if error.is_rejection() => Err(error),
            Err(error) => Ok(Fill::Degraded(error)),
        }
    }

    /// Keeps `value` at `key` for `ttl`, whatever was there. One round trip.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`Error::InvalidInput`] for a TTL under a millisecond;
    /// [`Error::Server`] with `OOM` where the server is full.
    pub async fn set(&self, key: &str, value: &str, ttl: Duration) -> Result<()> {
        let ttl = millis("TTL", ttl)?;
        let mut set = self.on("SET", key, value.len() + 24)?;
        set.arg(value).arg("PX").arg(ttl);
        self.redis.command(&set).await.map(drop)
    }

    /// Deletes `key`, of whatever type. Whether it was there. One round trip.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), but no type is wrong.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let reply = self.redis.command(&self.on("DEL", key, 0)?).await?;
        decode::<i64>("DEL", reply).map(|deleted| deleted > 0)
    }

    /// Deletes all these keys at one instant: nobody sees some gone and some not. How many there
    /// were; a key that is named twice counts once. One round trip, none for an empty list.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete); [`Error::InvalidInput`] for more than a million keys;
    /// [`Error::CrossSlot`] on a cluster where the keys lie in several slots, for which
    /// [`delete_many_by_slot`](Self::delete_many_by_slot) is made. Nothing was sent then.
    pub async fn delete_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<u64> {
        check_keys(keys)?;
        self.delete_within(keys, self.redis.deadline()).await
    }

    /// Deletes all these keys, on a cluster by one script for each slot, side by side: those of one slot
    /// go at one instant. Elsewhere it is [`delete_many`](Self::delete_many). How many there were. One
    /// round trip, none for an empty list.
    ///
    /// # Errors
    ///
    /// As [`delete_many`](Self::delete_many), without [`Error::CrossSlot`]; [`Error::Partial`] names
    /// the slots that failed on a cluster, with their keys, and counts what the others deleted.
    pub async fn delete_many_by_slot<K: AsRef<str>>(&self, keys: &[K]) -> Result<u64> {
        let deadline = self.redis.deadline();
        check_keys(keys)?;
        if !self.redis.is_cluster() {
            return self.delete_within(keys, deadline).await;
        }
        let mut slots = BTreeMap::<u16, Vec<String>>::new();
        for key in keys {
            let key = key.as_ref();
            let slot = slot(format!("{}{key}", self.redis.prefix()).as_bytes());
            slots.entry(slot).or_default().push(key.to_owned());
        }
        let mut calls = JoinSet::new();
        for (slot, keys) in slots {
            let cache = self.clone();
            calls.spawn(observe::inherit(async move {
                (cache.delete_within(&keys, deadline).await, slot, keys)
            }));
        }
        let (mut deleted, mut failed) = (0, Vec::new());
        for (outcome, slot, keys) in calls.join_all().await {
            match outcome {
                Ok(count) => deleted += count,
                Err(error) => failed.push(SlotFailure { slot, keys, error }),
            }
        }
        failed.sort_by_key(|failure| failure.slot);
        match failed.is_empty() {
            true => Ok(deleted),
            false => Err(Error::Partial { deleted, failed }),
        }
    }

    async fn delete_within<K: AsRef<str>>(&self, keys: &[K], deadline: Deadline) -> Result<u64> {
        if keys.is_empty() {
            return Ok(0);
        }
        let call = DELETE_MANY.call_many(&self.redis, keys.len()).within(deadline);
        let deleted: i64 = call.keys("key", keys.iter().map(AsRef::as_ref)).run().await?;
        Ok(deleted.unsigned_abs())
    }

    /// Begins a command on one key.
    fn on(&self, command: &str, key: &str, more: usize) -> Result<Cmd> {
        check_key(key)?;
        let prefix = self.redis.prefix();
        let mut cmd = Cmd::with_capacity(5, command.len() + prefix.len() + key.len() + more);
        cmd.arg(command);
        cmd.write_arg_fmt(format_args!("{prefix}{key}"));
        Ok(cmd)
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }
}

impl Read {
    /// What a read came to, in one word.
    pub(crate) fn came_to(read: &Result<Self>) -> &'static str {
        match read {
            Ok(Self::Hit(_)) => came_to(Ok(true)),
            Ok(Self::Miss) => came_to(Ok(false)),
            Ok(Self::Degraded(error)) | Err(error) => came_to(Err(error)),
        }
    }
}

fn came_to(hit: Result<bool, &Error>) -> &'static str {
    match hit {
        Ok(true) => "hit",
        Ok(false) => "miss",
        Err(error) if error.is_rejection() => "rejected",
        Err(_) => "degraded",
    }
}

fn check_keys<K: AsRef<str>>(keys: &[K]) -> Result<()> {
    if keys.len() > MAX_KEYS {
        return Err(Error::invalid("keys", format!("more than {MAX_KEYS} in one call")));
    }
    keys.iter().try_for_each(|key| check_key(key.as_ref()))
}
