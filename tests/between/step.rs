//! A script as one of several callers calls it.

use auth_adapter_redis::Redis;
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::{Call, library};

use super::support::{holder, script};

/// What stands beside the key `lock`.
pub fn beside(redis: &Redis, name: &str) -> String {
    format!("{{{}lock}}:{name}", redis.prefix())
}

/// The place of a holder in the queue of the lock.
pub fn place(holder: &str) -> String {
    format!("n:0:60000::{holder}")
}

/// In microseconds: what a rate limit takes to give one back.
const HOUR: u64 = 3_600_000_000;

/// A script as one of two callers calls it: those of locks on the key `lock`, those of sessions on one
/// user for a session of the caller's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub script: &'static str,
    pub who: char,
}

impl Step {
    /// One of each script of this crate, whoever is added; `between/refresh.rs` has those of tokens.
    pub fn all(who: char) -> Vec<Self> {
        let ours = library().iter().map(|script| script.name());
        ours.filter(|name| !name.starts_with("refresh/"))
            .map(|script| Self { script, who })
            .collect()
    }

    /// Those of locks and of the cache; `tests/session/repeat.rs` has the others.
    pub fn plain(who: char) -> Vec<Self> {
        let of_user = |step: &Self| step.script.starts_with("session/");
        Self::all(who).into_iter().filter(|step| !of_user(step)).collect()
    }

    /// Those that another holder calls otherwise, or one with another fence.
    pub fn of_another(who: char) -> Vec<Self> {
        let args = |step: &Self| script(step.script).contract().args.iter();
        let theirs =
            |step: &Self| args(step).any(|arg| arg.name == "holder" || arg.name == "fence");
        Self::all(who).into_iter().filter(theirs).collect()
    }

    pub async fn run(self, redis: &Redis) -> Value {
        let script = script(self.script);
        let (call, holder) = (script.call(redis), holder(self.who));
        let call = match self.script {
            "lock/acquire" | "lock/extend" => {
                call.key("lock", "lock").arg("holder", holder).arg("ttl", 60_000)
            }
            "lock/extend_many" => {
                let call = script.call_many(redis, 1).keys("lock", ["lock"]);
                call.args("holder", [(holder, 60_000)])
            }
            "lock/join" => {
                let call = queued(call, redis).arg("holder", &holder).arg("ttl", 60_000);
                call.arg("place", place(&holder)).arg("waited", 0)
            }
            "lock/hand_over" => queued(call, redis).arg("holder", holder),
            "lock/leave" => queued(call, redis).arg("holder", &holder).arg("place", place(&holder)),
            "lock/acquire_fenced" => {
                let call = call.key("lock", "lock").key("fence", &beside(redis, "fence"));
                call.arg("holder", holder).arg("ttl", 60_000)
            }
            "lock/steal" => {
                let call = call.key("lock", "lock").key("fence", &beside(redis, "fence"));
                let call = call.arg("from", "theirs").arg("seen", "");
                call.arg("holder", holder).arg("ttl", 60_000)
            }
            "lock/inspect" => queued(call, redis),
            "lock/release" => call.key("lock", "lock").arg("holder", holder),
            "lock/peek" => call.key("lock", "lock"),
            "fence/check_and_set" => {
                let call = call.key("resource", "{f}resource").key("record", "{f}resource:fenced");
                // What c writes is a's next.
                let (fence, order) = if self.who == 'c' { ('a', 2) } else { (self.who, 1) };
                let call = call.arg("value", self.who.to_string());
                call.arg("fence", u32::from(fence)).arg("order", order)
            }
            "cache/delete_many" => {
                script.call_many(redis, 2).keys("key", ["{k}cached", "{k}also cached"])
            }
            "rate/check" => {
                call.key("bucket", "{r}one").arg("spend", HOUR).arg("horizon", 2 * HOUR)
            }
            "rate/check_many" => {
                let call = script.call_many(redis, 2).keys("bucket", ["{r}one", "{r}two"]);
                call.args("quota", [HOUR, 2 * HOUR, HOUR, 3 * HOUR])
            }
            "rate/peek" => call.key("bucket", "{r}one").arg("horizon", 2 * HOUR),
            "rate/reset" => call.key("bucket", "{r}one"),
            _ => self.on_sessions(redis),
        };
        call.run().await.unwrap()
    }

    /// The same words each time, so that the second is a call that was resent.
    fn on_sessions(self, redis: &Redis) -> Call<'_> {
        let id = self.who.to_string();
        let nonce = id.repeat(32);
        let call = script(self.script).call_many(redis, 0).key("state", "{u}state");
        match self.script {
            "session/check" => call.arg("session", id).arg("nonce", nonce).arg("database", 1),
            "session/confirm" => {
                let call = call.arg("session", id).arg("version", "another").arg("asked", AGES);
                let call = call.arg("created", 1).arg("expires", AGES);
                call.arg("record", "r").arg("lasts", 300_000)
            }
            "session/create" => {
                let call = call.arg("session", id).arg("nonce", nonce).arg("created", 1);
                let call = call.arg("expires", AGES).arg("record", "r");
                call.arg("max", 1).arg("database", 0)
            }
            "session/fill" => {
                let call = call.arg("version", "another").arg("asked", AGES);
                let call = call.arg("lasts", 300_000).arg("complete", 300_000);
                call.args("session", [(id, 1, AGES, "r")])
            }
            "session/list" => call.arg("nonce", nonce).arg("database", 0),
            "session/touch" => call.arg("session", id).arg("debounce", AGES / 2).arg("database", 0),
            "session/revoke" => {
                let call = call.keys("also", []).arg("nonce", nonce);
                call.arg("longest", 60_000).args("session", [id])
            }
            "session/revoke_all" => call.keys("also", []).arg("nonce", nonce),
            "session/revoke_others" => call.keys("also", []).arg("stays", id).arg("nonce", nonce),
            other => panic!("say here how {other} is called"),
        }
    }
}

fn queued<'a>(call: Call<'a>, redis: &Redis) -> Call<'a> {
    let call = call.key("lock", "lock").key("queue", &beside(redis, "queue"));
    call.key("fence", &beside(redis, "fence"))
}

/// An instant far away, in epoch milliseconds.
const AGES: u64 = 1 << 43;
