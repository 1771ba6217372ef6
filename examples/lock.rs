//! A job that may take longer than its lock's lease: the guard is renewed while the work goes on, and
//! the work is stopped when the lock is lost.
//!
//! Start it in two terminals at once, against `REDIS_URL` or a Redis on this machine: the second waits
//! for the first. Stop the Redis meanwhile, and the first stops its work in time.

use std::{env, error::Error, time::Duration};

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::Release;
use auth_adapter_redis::{Locks, Redis};

/// How long the lock outlives this process, should that die.
const LEASE: Duration = Duration::from_secs(3);
const MAX_WAIT: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let redis = Redis::connect(&url).await?.with_prefix("example:")?;
    let locks = Locks::new(redis).with_renewal();

    let guard = match locks.acquire("report", LEASE, MAX_WAIT).await? {
        Acquisition::Acquired(guard) => guard,
        Acquisition::Held { left } => {
            println!("another has it all the time, for {left:?} more");
            return Ok(());
        }
    };
    println!("ours, as {}, {:?} to begin with", guard.owner(), guard.remaining());

    let work = async {
        for part in 1..=8 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            println!("part {part} done, {:?} left", guard.remaining());
        }
    };
    if guard.run(work).await.is_err() {
        println!("the lock is lost: another may be at it, so the work was stopped");
    }

    match guard.release().await? {
        Release::Freed => println!("freed: nobody else had it before"),
        Release::NotOurs => println!("it was no longer ours"),
    }
    Ok(())
}
