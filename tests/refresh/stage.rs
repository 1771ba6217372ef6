//! A user with a session, and what tests do to them: as the session scripts do, and as other software
//! would.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::refresh::{Issue, Rotate};
use auth_adapter_redis::testing::Reply;
use auth_adapter_redis::{Redis, RefreshToken, RefreshTokens};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use crate::support::target::{Own, shared};
use crate::support::{create_session, first_of, redis, redis_on, script};

/// The numbers of a packed session, before its lineage.
pub const HEAD: usize = 26;
/// What a tombstone has where a session has the length of its lineage.
pub const DEAD: [u8; 2] = [255; 2];
/// A lineage without a payload.
pub const LINEAGE: usize = 112;

pub struct Stage {
    own: Option<Own>,
    pub redis: Redis,
    pub tokens: RefreshTokens,
    pub user: UserId,
    pub session: SessionId,
    /// Of the session, in epoch milliseconds.
    pub expires: u64,
}

impl Stage {
    /// On what all tests share.
    pub async fn new() -> Self {
        Self::over(redis().await, None).await
    }

    /// On a server of the test's own.
    pub async fn on(own: Own) -> Self {
        Self::over(redis_on(&own).await, Some(own)).await
    }

    async fn over(redis: Redis, own: Option<Own>) -> Self {
        let stage = Self {
            own,
            tokens: RefreshTokens::new(redis.clone()),
            redis,
            user: UserId::new("42").unwrap(),
            session: SessionId::new("phone").unwrap(),
            expires: now() + 3_600_000,
        };
        assert_eq!(stage.create("phone").await, "created");
        stage
    }

    /// The absolute expiry, as a rotation tells it.
    pub fn expiry(&self) -> Timestamp {
        Timestamp::from_millis(self.expires as i64).unwrap()
    }

    pub fn with_window(mut self, window: Duration) -> Self {
        self.tokens = self.tokens.with_window(window).unwrap();
        self
    }

    pub fn server(&self) -> &Own {
        self.own.as_ref().expect("it is alone")
    }

    /// The first token of the session.
    pub async fn first(&self) -> RefreshToken {
        let first = RefreshToken::new(&self.user, &self.session).unwrap();
        assert_eq!(self.tokens.issue(&first).await.unwrap(), Issue::Issued);
        first
    }

    pub async fn rotate(&self, presented: &RefreshToken, next: &RefreshToken) -> Rotate {
        self.tokens.rotate(presented, next, &response(next)).await.unwrap()
    }

    /// What came of presenting a token, as a client does it.
    pub async fn present(&self, presented: &RefreshToken) -> Rotate {
        self.rotate(presented, &presented.next().unwrap()).await
    }

    /// The token that took the place of this one.
    pub async fn next(&self, presented: &RefreshToken) -> RefreshToken {
        let next = presented.next().unwrap();
        let outcome = self.rotate(presented, &next).await;
        assert!(matches!(outcome, Rotate::Rotated { .. }), "{outcome:?}");
        next
    }

    /// Creates another session of the user, or tries to create this one again.
    pub async fn create(&self, session: &str) -> String {
        create_session(&self.redis, &self.state(), session, self.expires).await.unwrap()
    }

    pub async fn check(&self) -> String {
        let call = script("session/check").call(&self.redis).key("state", &self.state());
        let call = call.arg("session", self.session.as_str()).arg("nonce", "a nonce");
        first_of(call.arg("database", 0).run().await.unwrap())
    }

    /// `session/confirm` of what was read under a version.
    pub async fn confirm(&self, version: &[u8]) -> String {
        let call = script("session/confirm").call(&self.redis).key("state", &self.state());
        let call = call.arg("session", self.session.as_str()).arg("version", version);
        let call = call.arg("asked", now()).arg("created", now()).arg("expires", self.expires);
        call.arg("record", "a record").arg("lasts", 300_000).run().await.unwrap()
    }

    /// `session/fill` of this session alone. What it gave.
    pub async fn fill(&self, version: &[u8]) -> Vec<String> {
        let (created, expires) = (now().to_string(), self.expires.to_string());
        let session = [self.session.as_str(), &created, &expires, "a record"];
        let call = script("session/fill").call(&self.redis).key("state", &self.state());
        let call = call.arg("version", version).arg("asked", now());
        let call = call.arg("lasts", 300_000).arg("complete", 300_000);
        call.args("session", session).run().await.unwrap()
    }

    /// `session/revoke` on a handle of the caller's choice.
    pub async fn revoke_on(&self, redis: &Redis) -> i64 {
        let call = script("session/revoke").call_many(redis, 0).key("state", &self.state());
        let call = call.keys("also", []).arg("nonce", "another").arg("longest", 3_600_000);
        let ended: Vec<String> = call.args("session", [self.session.as_str()]).run().await.unwrap();
        ended.len() as i64 - 1
    }

    pub async fn revoke(&self) {
        assert_eq!(self.revoke_on(&self.redis).await, 1);
    }

    pub fn state(&self) -> String {
        self.redis.keys().user_state(&self.user)
    }

    /// Speaks as other software would, about the user's state.
    pub fn raw(&self, command: &str, rest: &[&[u8]]) -> Reply {
        let key = format!("{}{}", self.redis.prefix(), self.state());
        let words = [command.as_bytes(), key.as_bytes()].into_iter().chain(rest.iter().copied());
        let words: Vec<_> = words.collect();
        match &self.own {
            Some(own) => own.command(&words).unwrap(),
            None => shared().command(&words).unwrap(),
        }
    }

    pub fn fields(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let reply = self.raw("HGETALL", &[]);
        let words = reply.array().unwrap().iter().map(|word| word.bytes().unwrap().to_vec());
        let words: Vec<_> = words.collect();
        words.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        self.raw("HGET", &[name.as_bytes()]).bytes().map(<[u8]>::to_vec)
    }

    /// The session as it is packed.
    pub fn packed(&self) -> Vec<u8> {
        self.field(&format!("s:{}", self.session)).expect("the session is there")
    }

    pub fn set_packed(&self, packed: &[u8]) {
        let name = format!("s:{}", self.session);
        assert_eq!(self.raw("HSET", &[name.as_bytes(), packed]).int(), Some(0));
    }

    /// As if so much time had passed since the rotation: its times lie that far back.
    pub fn age(&self, by: Duration) {
        let mut packed = self.packed();
        for at in [HEAD + 4, HEAD + 10] {
            let time = &mut packed[at..at + 6];
            let aged = number(time).saturating_sub(by.as_millis() as u64);
            time.copy_from_slice(&aged.to_be_bytes()[2..]);
        }
        self.set_packed(&packed);
    }

    /// How long the lineage is, with its payload.
    pub fn lineage(&self) -> usize {
        number(&self.packed()[6..8]) as usize
    }

    /// Everything is as it was, and the key still ends.
    #[track_caller]
    pub fn unchanged_since(&self, before: &BTreeMap<Vec<u8>, Vec<u8>>) {
        assert_eq!(&self.fields(), before);
        let left = self.raw("PTTL", &[]).int().unwrap();
        assert!((3_000_000..=3_600_000).contains(&left), "{left}");
    }
}

/// What a client is given with this token.
pub fn response(next: &RefreshToken) -> Vec<u8> {
    format!("{{\"refresh_token\": \"{}\"}}", next.expose()).into_bytes()
}

/// A big-endian number.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The token with another end: 4 bytes of generation, 16 of the family's secret, 32 of its own.
pub fn forge(token: &RefreshToken, change: impl FnOnce(&mut [u8])) -> RefreshToken {
    let text = token.expose();
    let (ids, tail) = text.rsplit_once('.').unwrap();
    let mut tail = BASE64.decode(tail).unwrap();
    change(&mut tail);
    RefreshToken::parse(&format!("{ids}.{}", BASE64.encode(tail))).unwrap()
}

/// The same token of another generation.
pub fn of_generation(token: &RefreshToken, generation: u32) -> RefreshToken {
    forge(token, |tail| tail[..4].copy_from_slice(&generation.to_be_bytes()))
}
