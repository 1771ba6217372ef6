//! What no operation of the tables touches, to be found again after a fault, or not.

use auth_adapter_redis::key::Timestamp;
use auth_adapter_redis::lock::{Acquire, AcquireFenced, Leases, LockToken, Release};
use auth_adapter_redis::refresh::{Issue, Lookup};
use auth_adapter_redis::session::{Check, List};
use auth_adapter_redis::{Cache, Fence, Redis, RefreshToken, RefreshTokens, Sessions};

use crate::PATIENT;
use crate::support::LONG;
use crate::world::{VALUE, log_in, phone, user};

pub struct Kept {
    pub cache: Cache,
    pub leases: Leases,
    pub sessions: Sessions,
    pub tokens: RefreshTokens,
    /// Of the lock `lock`.
    pub token: LockToken,
    pub first: RefreshToken,
    /// The last of the lock `fenced`.
    fence: Fence,
}

impl Kept {
    pub async fn new(redis: &Redis, sessions: impl Fn(Sessions) -> Sessions) -> Self {
        let redis = redis.clone().with_prefix("kept:").unwrap();
        let redis = redis.with_call_deadline(PATIENT).unwrap();
        let (cache, leases) = (Cache::new(redis.clone()), Leases::new(redis.clone()));
        let sessions = sessions(Sessions::new(redis.clone()));
        cache.set("k", VALUE, LONG).await.unwrap();
        let Ok(Acquire::Acquired(token)) = leases.acquire("lock", LONG).await else { panic!() };
        let fence = fence(&leases).await;
        for name in ["active", "revoked"] {
            log_in(&sessions, name).await;
        }
        let tokens = RefreshTokens::new(redis);
        let first = RefreshToken::new(&user("active"), &phone()).unwrap();
        assert_eq!(tokens.issue(&first).await.unwrap(), Issue::Issued);
        sessions.revoke(&user("revoked"), &[phone()], &[]).await.unwrap();
        Self { cache, leases, sessions, tokens, token, first, fence }
    }

    /// All that was answered is there.
    pub async fn is_there(&self) {
        assert_eq!(self.cache.get("k").await.unwrap().as_deref(), Some(VALUE));
        assert!(matches!(self.leases.acquire("lock", LONG).await, Ok(Acquire::Held { .. })));
        assert!(matches!(self.check("active").await, Check::Active(_)));
        assert_eq!(self.check("revoked").await, Check::Revoked);
        assert_eq!(self.tokens.lookup(&self.first).await.unwrap(), Lookup::Current);
        self.fence_rises().await;
    }

    /// Nothing is: each key is a miss, each lock free, and of nobody it is known who is logged in.
    pub async fn is_gone(&self) {
        assert_eq!(self.cache.get("k").await.unwrap(), None);
        assert!(matches!(self.leases.acquire("lock", LONG).await, Ok(Acquire::Acquired(_))));
        let freed = self.leases.release("lock", &self.token).await.unwrap();
        assert_eq!(freed, Release::NotOurs, "it is another's now");
        for name in ["active", "revoked"] {
            assert!(matches!(self.check(name).await, Check::Unknown(_)), "{name}");
            let list = self.sessions.list(&user(name)).await.unwrap();
            assert!(matches!(list, List::NeedsFill(_)), "{list:?}");
        }
        assert_eq!(self.tokens.lookup(&self.first).await.unwrap(), Lookup::Unknown);
        self.fence_rises().await;
    }

    pub async fn fence_rises(&self) {
        let now = fence(&self.leases).await;
        assert!(now > self.fence, "{now:?} is not above {:?}", self.fence);
    }

    pub async fn check(&self, name: &str) -> Check {
        self.sessions.check(&user(name), &phone()).await.unwrap()
    }

    /// Until when a session reads active, if it does.
    pub async fn active_until(&self, name: &str) -> Option<Timestamp> {
        match self.check(name).await {
            Check::Active(session) => Some(session.confirmed_until.expect("it was confirmed")),
            _ => None,
        }
    }
}

async fn fence(leases: &Leases) -> Fence {
    match leases.acquire_fenced("fenced", LONG).await.unwrap() {
        AcquireFenced::Acquired { token, fence } => {
            assert_eq!(leases.release("fenced", &token).await.unwrap(), Release::Freed);
            fence
        }
        other => panic!("{other:?}"),
    }
}
