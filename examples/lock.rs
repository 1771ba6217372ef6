//! A lock whose holder wants to know all: every outcome of acquiring, extending and releasing it.
//!
//! Start it in two terminals at once, against `REDIS_URL` or a Redis on this machine.

use std::{env, error::Error, time::Duration};

use auth_adapter_redis::Redis;
use auth_adapter_redis::lock::{Acquire, Extend, Leases, Release};

const LEASE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let redis = Redis::connect(&url).await?.with_prefix("example:")?;
    let locks = Leases::new(redis);

    let token = match locks.acquire("report", LEASE).await? {
        Acquire::Acquired(token) => token,
        Acquire::Held { left } => {
            let holder = locks.inspect("report").await?;
            println!("taken, for {left:?} more: {holder:?}");
            return Ok(());
        }
        Acquire::Unknown { token, error } => {
            // It may be ours. Nobody works under a lock that may be theirs: give it back.
            let given_back = locks.release("report", &token).await;
            println!("no answer ({error}); given back: {given_back:?}");
            return Ok(());
        }
    };
    println!("ours for {LEASE:?}, as {}", locks.owner());

    for part in 1..=4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The work is longer than the lease, so each part begins with a whole lease again.
        match locks.extend("report", &token, LEASE).await? {
            Extend::Extended { left } => println!("part {part} done, {left:?} left"),
            Extend::NotOurs => {
                println!("part {part} took too long: another may be at it, so this one stops");
                return Ok(());
            }
        }
    }

    match locks.release("report", &token).await? {
        Release::Freed => println!("done and freed"),
        Release::NotOurs => println!("done, but the lease had ended before"),
    }
    Ok(())
}
