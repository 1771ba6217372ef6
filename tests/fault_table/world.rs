//! What is there before a fault: for each operation something of its own, so that none is in the way of
//! another.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::key::{Keys, SessionId, Timestamp, UserId};
use auth_adapter_redis::lock::{Acquire, AcquireFenced, Leases, LockInfo, LockToken, Place, Told};
use auth_adapter_redis::rate::Quota;
use auth_adapter_redis::session::{Check, Fill, Row, Version};
use auth_adapter_redis::{
    Cache, CacheAdapter, FallbackRateLimiter, Fence, FencedStrings, LockGuard, Locks, RateLimiter,
    Redis, RedisCacheAdapter, RefreshToken, RefreshTokens, Sessions,
};

use crate::PATIENT;
use crate::support::{HANG, LONG};

pub const VALUE: &str = "from before";
pub const QUOTA: Quota = Quota::per_hour(5);
/// The session of every user.
pub const PHONE: &str = "phone";

pub struct World {
    pub redis: Redis,
    pub adapter: RedisCacheAdapter,
    pub cache: Cache,
    pub leases: Leases,
    pub locks: Locks,
    pub fenced: FencedStrings,
    pub limiter: RateLimiter,
    pub fallback: FallbackRateLimiter,
    pub sessions: Sessions,
    pub tokens: RefreshTokens,
    pub fence: Fence,
    /// A lock that the adapter has.
    pub held: String,
    held_tokens: HashMap<&'static str, LockToken>,
    guards: Mutex<HashMap<&'static str, LockGuard>>,
    /// Guards that operations have come by.
    kept: Mutex<Vec<LockGuard>>,
    seen: HashMap<&'static str, LockInfo>,
    versions: HashMap<&'static str, Version>,
    refresh_tokens: HashMap<&'static str, RefreshToken>,
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn phone() -> SessionId {
    SessionId::new(PHONE).unwrap()
}

/// What the database says of the session of a user.
pub fn row() -> Row {
    let expires = Timestamp::try_from(SystemTime::now() + LONG * 60).unwrap();
    Row::new(phone(), Timestamp::now(), expires)
}

/// Makes the session of a user active, and the list complete.
pub async fn log_in(sessions: &Sessions, name: &str) {
    let Ok(Check::Unknown(version)) = sessions.check(&user(name), &phone()).await else {
        panic!("nothing is known of {name}")
    };
    let filled = sessions.fill(&user(name), &[row()], &version).await.unwrap();
    assert!(matches!(filled, Fill::Filled { .. }));
}

impl World {
    pub async fn new(redis: &Redis) -> Self {
        let patient = redis.clone().with_call_deadline(PATIENT).unwrap();
        let (adapter, locks) = (RedisCacheAdapter::new(redis.clone()), Locks::new(redis.clone()));
        let held = held_by(&adapter).await;
        let (held_tokens, seen, fence) = take_locks(&Leases::new(patient.clone())).await;
        fill_cache(&Cache::new(patient.clone())).await;
        fill_buckets(&RateLimiter::new(patient.clone())).await;
        let guards = Mutex::new(take_guards(&locks).await);
        Self {
            versions: log_all_in(&Sessions::new(patient.clone())).await,
            refresh_tokens: issue(&patient).await,
            cache: Cache::new(redis.clone()),
            leases: Leases::new(redis.clone()),
            fenced: FencedStrings::new(redis.clone()),
            limiter: RateLimiter::new(redis.clone()),
            fallback: FallbackRateLimiter::new(RateLimiter::new(redis.clone())),
            sessions: touches_always(Sessions::new(redis.clone())),
            tokens: RefreshTokens::new(redis.clone()),
            redis: redis.clone(),
            adapter,
            locks,
            fence,
            held,
            held_tokens,
            guards,
            kept: Mutex::default(),
            seen,
        }
    }

    /// That of a lock which was taken, or of one that waits.
    pub fn token(&self, of: &str) -> &LockToken {
        &self.held_tokens[of]
    }

    pub fn take_guard(&self, of: &str) -> LockGuard {
        self.guards.lock().unwrap().remove(of).expect("it is called once")
    }

    /// Nothing is freed in the background while other operations are called.
    pub fn keep(&self, guard: LockGuard) {
        self.kept.lock().unwrap().push(guard);
    }

    pub fn drop_guards(&self) {
        self.kept.lock().unwrap().clear();
    }

    pub fn seen(&self, of: &str) -> &LockInfo {
        &self.seen[of]
    }

    pub fn version(&self, of: &str) -> &Version {
        &self.versions[of]
    }

    pub fn refresh_token(&self, of: &str) -> &RefreshToken {
        &self.refresh_tokens[of]
    }
}

pub fn place() -> Place {
    Place::new(Told::Never, LONG).unwrap()
}

fn touches_always(sessions: Sessions) -> Sessions {
    sessions.with_touch_every(Duration::from_millis(1)).unwrap()
}

/// The key of a lock that it is Redis that has.
async fn held_by(adapter: &RedisCacheAdapter) -> String {
    for at in 0.. {
        let (key, swallowed) = (format!("adapter/release_lock{at}"), adapter.health().swallowed);
        if adapter.acquire_lock(&key, LONG).await && adapter.health().swallowed == swallowed {
            return key;
        }
    }
    unreachable!()
}

async fn fill_cache(cache: &Cache) {
    let keys = [
        "adapter/get",
        "adapter/read",
        "adapter/delete",
        "adapter/delete_many",
        "adapter/delete_many2",
        "cache/get",
        "cache/read",
        "cache/delete",
        "cache/delete_many",
        "cache/delete_many_by_slot",
    ];
    for key in keys {
        cache.set(key, VALUE, LONG).await.unwrap();
    }
}

async fn fill_buckets(limiter: &RateLimiter) {
    for key in ["rate/peek", "rate/reset", "limiter/reset"] {
        assert!(limiter.check(key, &QUOTA, 1).await.unwrap().is_allowed());
    }
}

type Taken = (HashMap<&'static str, LockToken>, HashMap<&'static str, LockInfo>, Fence);

async fn take_locks(leases: &Leases) -> Taken {
    let (mut tokens, mut seen) = (HashMap::new(), HashMap::new());
    for key in [
        "lock/peek",
        "lock/inspect",
        "lock/extend",
        "lock/extend_many",
        "lock/release",
        "lock/join",
        "lock/hand_over",
        "lock/leave",
        "lock/steal",
        "guard/acquire in line",
        "guard/steal",
        "waits",
        "retries",
    ] {
        let Ok(Acquire::Acquired(token)) = leases.acquire(key, LONG).await else {
            panic!("{key} is free")
        };
        tokens.insert(key, token);
    }
    for key in ["lock/hand_over", "lock/leave"] {
        let waits = leases.join(key, &tokens["waits"], LONG, &place(), Duration::ZERO).await;
        let _queued = waits.unwrap();
    }
    for key in ["lock/steal", "guard/steal"] {
        seen.insert(key, leases.inspect(key).await.unwrap().expect("it is held"));
    }
    match leases.acquire_fenced("fence", LONG).await.unwrap() {
        AcquireFenced::Acquired { fence, .. } => (tokens, seen, fence),
        other => panic!("{other:?}"),
    }
}

async fn take_guards(locks: &Locks) -> HashMap<&'static str, LockGuard> {
    let mut guards = HashMap::new();
    for key in ["guard/extend", "guard/release"] {
        match locks.acquire(key, LONG, HANG).await.unwrap() {
            Acquisition::Acquired(guard) => guards.insert(key, guard),
            other => panic!("{other:?}"),
        };
    }
    guards
}

async fn log_all_in(sessions: &Sessions) -> HashMap<&'static str, Version> {
    for name in ["check", "list", "touch", "revoke", "revoke_all", "revoke_others"] {
        log_in(sessions, name).await;
    }
    let mut versions = HashMap::new();
    for name in ["confirm", "fill"] {
        match sessions.check(&user(name), &phone()).await.unwrap() {
            Check::Unknown(version) => versions.insert(name, version),
            other => panic!("{other:?}"),
        };
    }
    versions
}

async fn issue(redis: &Redis) -> HashMap<&'static str, RefreshToken> {
    let (sessions, tokens) = (Sessions::new(redis.clone()), RefreshTokens::new(redis.clone()));
    let mut first = HashMap::new();
    for name in ["issue", "lookup", "rotate", "revoke a family"] {
        log_in(&sessions, name).await;
        let token = RefreshToken::new(&user(name), &phone()).unwrap();
        if name != "issue" {
            let _issued = tokens.issue(&token).await.unwrap();
        }
        first.insert(name, token);
    }
    let record = redis.keys().refresh_token(&first["lookup"].hash());
    Cache::new(redis.clone()).set(&record, VALUE, Keys::REFRESH_TOKEN_TTL).await.unwrap();
    first
}
