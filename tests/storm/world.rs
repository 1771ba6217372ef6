//! What the workers have together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth_adapter_redis::session::Authority;
use auth_adapter_redis::{
    FallbackRateLimiter, FencedStrings, Locks, RateLimiter, Redis, RedisCacheAdapter,
    RefreshTokens, Sessions,
};

use crate::locking::Watched;

/// How many locks all workers want, and how many jobs.
pub const LOCKS: usize = 4;
pub const JOBS: usize = 4;

pub struct World {
    pub redis: Redis,
    pub adapter: RedisCacheAdapter,
    pub limiter: RateLimiter,
    pub fallback: FallbackRateLimiter,
    pub locks: Locks,
    pub fenced: FencedStrings,
    /// With a database behind.
    pub sessions: Sessions,
    /// With nothing behind: those of the refresh tokens.
    pub alone: Sessions,
    pub tokens: RefreshTokens,
    pub watched: [Watched; LOCKS],
    /// Whether a worker does such a job.
    pub jobs: [AtomicBool; JOBS],
    ends: AtomicBool,
}

impl World {
    pub fn new(redis: Redis) -> Self {
        Self {
            adapter: RedisCacheAdapter::new(redis.clone()),
            limiter: RateLimiter::new(redis.clone()),
            fallback: FallbackRateLimiter::new(RateLimiter::new(redis.clone())),
            locks: Locks::new(redis.clone()).with_fencing(),
            fenced: FencedStrings::new(redis.clone()),
            sessions: Sessions::new(redis.clone()),
            alone: Sessions::new(redis.clone()).with_authority(Authority::Redis),
            tokens: RefreshTokens::new(redis.clone()),
            watched: Default::default(),
            jobs: Default::default(),
            ends: AtomicBool::new(false),
            redis,
        }
    }

    pub fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// What is released in the background is released.
    pub async fn close(&self) {
        self.locks.close(Duration::from_secs(10)).await.unwrap();
    }
}

/// After what failed, the next try. Whoever tries at once measures how fast a call fails.
pub async fn breathe() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
