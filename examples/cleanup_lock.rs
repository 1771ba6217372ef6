//! A job that every instance is told to run and only one runs: the others find its lock taken.
//!
//! Start it in two terminals at once, against `REDIS_URL` or a Redis on this machine. Without any
//! Redis it still runs, once per instance: the lock is then one within the process.

use std::{env, error::Error, time::Duration};

use auth_adapter_redis::{CacheAdapter, Redis, RedisCacheAdapter, key::Keys};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let redis = Redis::connect(&url).await?.with_prefix("example:")?;
    let lock = redis.keys().cleanup_lock();
    let cache = RedisCacheAdapter::new(redis);

    if cache.acquire_lock(lock, Keys::CLEANUP_LOCK_TTL).await {
        println!("this instance removes the expired sessions …");
        tokio::time::sleep(Duration::from_secs(5)).await;
        cache.release_lock(lock).await;
        println!("… and is done");
    } else {
        println!("another instance is at it");
    }
    Ok(())
}
