//! The server, the user's state on it, and what happens to both beside the calls.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_adapter_redis::key::UserId;
use auth_adapter_redis::testing::{Data, Reply as Raw};
use auth_adapter_redis::{Redis, ScriptLibrary};

use crate::call::{Call, Reply, Rules};
use crate::support::comes_alive;
use crate::support::target::Own;

/// How time passes, and how a server goes back to what it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// As if: what the server has of a user is written anew, with all its times that much earlier.
    Rewritten,
    /// The server's own clock, so the history's lifetimes are milliseconds.
    Waited,
    /// As the first, but the server is killed and starts from its file.
    Restarted,
}

pub struct World<'a> {
    server: &'a Own,
    redis: Redis,
    scripts: &'static ScriptLibrary,
    rules: Rules,
    way: Way,
    /// How far the history's clock is ahead of the server's.
    offset: u64,
    saved: Option<Saved>,
}

/// What the hash was, by the clocks of that time.
struct Saved {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    left: i64,
    at: u64,
    offset: u64,
}

impl<'a> World<'a> {
    /// `redis` has a prefix that no other history has.
    pub fn new(
        server: &'a Own,
        redis: Redis,
        scripts: &'static ScriptLibrary,
        rules: &Rules,
        way: Way,
    ) -> Self {
        Self { server, redis, scripts, rules: rules.clone(), way, offset: 0, saved: None }
    }

    fn real(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
    }

    /// The history's clock. The server's is this machine's.
    pub fn now(&self) -> u64 {
        self.real() + self.offset
    }

    fn state(&self) -> String {
        self.redis.keys().user_state(&UserId::new("42").unwrap())
    }

    fn raw(&self, command: &str, rest: &[&[u8]]) -> Raw {
        let key = format!("{}{}", self.redis.prefix(), self.state());
        let words = [command.as_bytes(), key.as_bytes()];
        let words: Vec<_> = words.into_iter().chain(rest.iter().copied()).collect();
        self.server.command(&words).unwrap()
    }

    pub async fn run(&self, call: &Call) -> Reply {
        call.run(self.scripts, &self.redis, &self.state(), &self.rules, self.offset).await
    }

    /// All of these at once. Call it for what changes nothing.
    pub async fn run_all(&self, calls: Vec<Call>) -> Vec<Reply> {
        let mut tasks = Vec::new();
        for call in calls {
            let (redis, state, rules) = (self.redis.clone(), self.state(), self.rules.clone());
            let (scripts, offset) = (self.scripts, self.offset);
            let run = async move { call.run(scripts, &redis, &state, &rules, offset).await };
            tasks.push(tokio::spawn(run));
        }
        let mut replies = Vec::new();
        for task in tasks {
            replies.push(task.await.unwrap());
        }
        replies
    }

    pub fn exists(&self) -> bool {
        self.raw("EXISTS", &[]).int() == Some(1)
    }

    pub fn evict(&self) {
        self.raw("DEL", &[]);
    }

    pub fn flush_scripts(&self) {
        self.server.flush_scripts().unwrap();
    }

    fn fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let reply = self.raw("HGETALL", &[]);
        let words = reply.array().unwrap().iter().map(|word| word.bytes().unwrap().to_vec());
        let words: Vec<_> = words.collect();
        words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    /// Time passes.
    pub async fn pass(&mut self, millis: u64) {
        if self.way == Way::Waited {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        } else {
            self.age(millis);
            self.offset += millis;
        }
    }

    /// Has all times of the hash lie that much earlier.
    fn age(&self, by: u64) {
        let left = self.raw("PTTL", &[]).int().unwrap();
        assert_ne!(left, -1, "it has no end");
        if left < 0 {
            return;
        }
        let mut words = Vec::new();
        for (name, mut value) in self.fields() {
            earlier(&name, &mut value, by);
            words.extend([name, value]);
        }
        let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
        self.raw("HSET", &words);
        self.raw("PEXPIRE", &[(left - by as i64).to_string().as_bytes()]);
    }

    /// Remembers what there is, for what comes back to it.
    pub fn save(&mut self) {
        if self.way == Way::Restarted {
            let reply = self.server.command(&["SAVE"]).unwrap();
            assert_eq!(reply.text(), Some("OK"), "{reply:?}");
        }
        let (fields, left) = (self.fields(), self.raw("PTTL", &[]).int().unwrap());
        self.saved = Some(Saved { fields, left, at: self.real(), offset: self.offset });
    }

    /// The server forgets what came since it was saved, and nothing else.
    pub async fn go_back(&self) {
        let Some(saved) = &self.saved else { return };
        if self.way == Way::Restarted {
            self.server.restart(Data::Kept);
            comes_alive(&self.redis).await;
        } else {
            self.evict();
            if saved.left >= 0 {
                let fields = saved.fields.iter();
                let words: Vec<_> =
                    fields.flat_map(|(name, value)| [&name[..], &value[..]]).collect();
                self.raw("HSET", &words);
                let left = saved.left - (self.real() - saved.at) as i64;
                self.raw("PEXPIRE", &[left.to_string().as_bytes()]);
            }
        }
        if self.offset > saved.offset {
            self.age(self.offset - saved.offset);
        }
    }

    /// The index that clients keep by commands, see `doctored`.
    pub fn index(&self) -> String {
        self.raw("HGET", &[b"i"]).text().unwrap_or_default().to_owned()
    }

    pub fn set_index(&self, index: &str) {
        let exists = self.exists();
        self.raw("HSET", &[b"i", index.as_bytes()]);
        if !exists {
            self.raw("PEXPIRE", &[b"60000"]);
        }
    }
}

/// Moves the times of a field, as `scripts/shared/` packs it.
fn earlier(name: &[u8], value: &mut Vec<u8>, by: u64) {
    let places: &[usize] = match name {
        [b's', b':', ..] => match value[6..8] {
            // A tombstone.
            [255, 255] => &[0],
            [0, 0] => &[0, 8, 14, 20],
            // With those of its lineage, after the generation.
            _ => &[0, 8, 14, 20, 30, 36],
        },
        b"c" => {
            let time: u64 = std::str::from_utf8(value).unwrap().parse().unwrap();
            *value = (time - by).to_string().into_bytes();
            return;
        }
        _ => return,
    };
    for &place in places {
        let time = value[place..place + 6].iter();
        let time = time.fold(0, |number, &byte| number << 8 | u64::from(byte));
        // Never stays never.
        let time = if time == 0 { 0 } else { time - by };
        value[place..place + 6].copy_from_slice(&time.to_be_bytes()[2..]);
    }
}
