//! The keys of one call, and what they hold.

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::Redis;
use auth_adapter_redis::testing::Reply;

use super::Own;
use super::support::raw_on;

/// A prefix of its own.
#[derive(Clone)]
pub struct World {
    own: Arc<Own>,
    /// Whose calls are broken.
    pub caller: Redis,
    /// Which goes past the proxy, and what others use.
    pub direct: Redis,
}

impl World {
    pub fn new(own: &Arc<Own>, caller: Redis, direct: Redis) -> Self {
        Self { own: Arc::clone(own), caller, direct }
    }

    /// Speaks of a key as other software would.
    pub fn raw(&self, command: &str, key: &str, rest: &[&str]) -> Reply {
        let reply = raw_on(&*self.own, &self.direct, command, key, rest);
        assert!(!reply.is_error(), "{command} {key}: {reply:?}");
        reply
    }

    /// Sends words that need not be text.
    pub fn send(&self, words: &[&[u8]]) -> Reply {
        self.own.command(words).unwrap()
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.raw("GET", key, &[]).text().map(str::to_owned)
    }

    /// A key's value and its end.
    pub fn string(&self, key: &str) -> String {
        let value = self.text(key).unwrap_or_else(|| "nothing".to_owned());
        format!("{key} has {value}, {}\n", self.end(key))
    }

    /// When a key ends, by its order of magnitude: the next world is a little later.
    pub fn end(&self, key: &str) -> String {
        match self.raw("PTTL", key, &[]).int().unwrap() {
            -2 => "not there".to_owned(),
            -1 => "without an end".to_owned(),
            left => format!("for {}", magnitude(Duration::from_millis(left.unsigned_abs()))),
        }
    }

    /// Microseconds since 1970 by the server's clock.
    pub fn now(&self) -> i64 {
        let time = self.send(&[b"TIME"]);
        let parts = time.array().unwrap().iter();
        parts.fold(0, |sum, part| sum * 1_000_000 + part.text().unwrap().parse::<i64>().unwrap())
    }
}

/// A power of ten in seconds, at most as much. What is compared here is far from the next.
pub fn magnitude(time: Duration) -> String {
    format!("{}s", 10_u64.pow(time.as_secs().checked_ilog10().unwrap_or(0)))
}

/// The owner in the value of a lock.
pub fn owner(holder: &str) -> &str {
    holder.rsplit_once(':').map_or(holder, |(_, owner)| owner)
}
