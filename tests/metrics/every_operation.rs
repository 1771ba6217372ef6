//! Each operation of the crate, so many times, with what is private in all that it is given.

use std::collections::BTreeMap;

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::lock::{Acquire, AcquireFenced, Leases, Place, Told};
use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::session::{Check, Row};
use auth_adapter_redis::{
    Cache, FencedStrings, RateLimiter, Redis, RefreshToken, RefreshTokens, Sessions,
};

use super::support::create_session;
use super::*;

const KEY: &str = "private-key";
/// In epoch milliseconds.
const IN_2100: u64 = 4_102_444_800_000;

/// Does all of it on an empty server: how often each was called, and the tokens that were used.
pub async fn all(redis: &Redis, server: &Server) -> (BTreeMap<&'static str, u64>, Vec<String>) {
    let mut tokens = locks(redis, server).await;
    cache(redis).await;
    limits(redis).await;
    sessions(redis).await;
    tokens.extend(refresh_tokens(redis).await);
    let commands = [("SET", 1), ("GET", 3), ("DEL", 1), ("PING", 1), ("SCAN", 1)];
    let locks = [
        ("lock/acquire", 2),
        ("lock/acquire_fenced", 1),
        ("lock/extend", 1),
        ("lock/extend_many", 1),
        ("lock/hand_over", 1),
        ("lock/inspect", 1),
        ("lock/join", 1),
        ("lock/leave", 1),
        ("lock/peek", 2),
        ("lock/release", 1),
        ("lock/steal", 1),
    ];
    let others = [
        ("cache/delete_many", 1),
        ("fence/check_and_set", 1),
        ("rate/check", 1),
        ("rate/check_many", 1),
        ("rate/peek", 1),
        ("rate/reset", 1),
        ("refresh/issue", 1),
        ("refresh/lookup", 1),
        ("refresh/revoke", 1),
        ("refresh/rotate", 1),
        ("session/check", 1),
        ("session/confirm", 1),
        ("session/create", 2),
        ("session/fill", 1),
        ("session/list", 1),
        ("session/revoke", 1),
        ("session/revoke_all", 1),
        ("session/revoke_others", 1),
        ("session/touch", 1),
    ];
    (commands.into_iter().chain(locks).chain(others).collect(), tokens)
}

async fn cache(redis: &Redis) {
    let cache = Cache::new(redis.clone());
    redis.ping().await.unwrap();
    cache.set(KEY, "private-value", LONG).await.unwrap();
    cache.get(KEY).await.unwrap();
    let _hit = cache.read(KEY).await.unwrap();
    cache.delete(KEY).await.unwrap();
    cache.delete_many(&[KEY, "private-other"]).await.unwrap();
}

async fn locks(redis: &Redis, server: &Server) -> Vec<String> {
    let leases = Leases::new(redis.clone()).with_owner("private-owner").unwrap();
    let Acquire::Acquired(token) = leases.acquire(KEY, LONG).await.unwrap() else { panic!() };
    let held = server.command(&["GET", "private:private-key"]).unwrap();
    let (token_text, owner) = held.text().unwrap().split_once(':').unwrap();
    assert_eq!(owner, "private-owner");
    let tokens = vec![token_text.to_owned()];
    let _ours = leases.retry_acquire(KEY, token.clone(), LONG).await.unwrap();
    let _left = leases.extend(KEY, &token, LONG * 2).await.unwrap();
    let _left = leases.extend_many(&[(KEY, &token, LONG * 3)]).await.unwrap();
    leases.peek(KEY).await.unwrap();
    assert_eq!(leases.list("private").await.unwrap().len(), 1);
    let (other, place) = ("private-fenced", Place::new(Told::Never, LONG).unwrap());
    let AcquireFenced::Acquired { token: fenced, fence } =
        leases.acquire_fenced(other, LONG).await.unwrap()
    else {
        panic!("it is free")
    };
    let seen = leases.inspect(other).await.unwrap().expect("it is held");
    let _stolen = leases.steal(other, &seen, LONG).await.unwrap();
    let _queued = leases.join(KEY, &fenced, LONG, &place, LONG).await.unwrap();
    let _left = leases.leave(KEY, &fenced, &place).await.unwrap();
    let _freed = leases.hand_over(KEY, &token).await.unwrap();
    let _no = leases.release(other, &fenced).await.unwrap();
    let strings = FencedStrings::new(redis.clone());
    let _set = strings.check_and_set("private-string", "private-value", fence).await.unwrap();
    tokens
}

async fn limits(redis: &Redis) {
    let (limiter, quota) = (RateLimiter::new(redis.clone()), Quota::per_hour(5));
    let _allowed = limiter.check(KEY, &quota, 1).await.unwrap();
    let _allowed = limiter.check_many(&[(KEY, quota)], 1).await.unwrap();
    limiter.peek(KEY, &quota).await.unwrap();
    limiter.reset(KEY, &quota).await.unwrap();
}

async fn sessions(redis: &Redis) {
    let sessions = Sessions::new(redis.clone());
    let user = UserId::new("private-user").unwrap();
    let id = SessionId::new("private-session").unwrap();
    let expires = Timestamp::try_from(std::time::SystemTime::now() + LONG).unwrap();
    let row = Row::new(id.clone(), Timestamp::now(), expires);
    let Check::Unknown(version) = sessions.check(&user, &id).await.unwrap() else { panic!() };
    let _filled = sessions.fill(&user, &[], &version).await.unwrap();
    let _created = sessions.create(&user, &row).await.unwrap();
    let _confirmed = sessions.confirm(&user, &row, &version).await.unwrap();
    let _noted = sessions.touch(&user, &id).await.unwrap();
    let _sessions = sessions.list(&user).await.unwrap();
    sessions.revoke_others(&user, &id, &[]).await.unwrap();
    sessions.revoke(&user, &[id], &[]).await.unwrap();
    sessions.revoke_all(&user, &[]).await.unwrap();
}

async fn refresh_tokens(redis: &Redis) -> Vec<String> {
    let tokens = RefreshTokens::new(redis.clone());
    let user = UserId::new("private-other-user").unwrap();
    let session = SessionId::new("private-phone").unwrap();
    let state = redis.keys().user_state(&user);
    create_session(redis, &state, session.as_str(), IN_2100).await.unwrap();
    let first = RefreshToken::new(&user, &session).unwrap();
    let second = first.next().unwrap();
    let _issued = tokens.issue(&first).await.unwrap();
    let _current = tokens.lookup(&first).await.unwrap();
    let _rotated = tokens.rotate(&first, &second, b"private-response").await.unwrap();
    let _revoked = tokens.revoke(&second).await.unwrap();
    tokens.lookup_hash(&first.hash()).await.unwrap();
    [first, second].iter().map(RefreshToken::expose).collect()
}
