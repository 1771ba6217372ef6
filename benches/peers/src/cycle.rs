//! A free lock taken and released, over and over.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::Release;
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Locks, script};
use rslock::LockManager;

use crate::measure::{Goal, Ratio, batch, speedup};
use crate::support::{TTL, flood, handle, keys, runtime};

const IN_FLIGHT: usize = 64;

/// Each side has one connection for all workers, and each worker a lock of its own.
pub fn vs_rslock_64() -> Ratio {
    let server = Server::start().unwrap();
    let manager = LockManager::new(vec![server.url()]);
    let samples = runtime().block_on(async {
        let redis = handle(&server).await;
        script::library().load(&redis).await.unwrap();
        let locks = Locks::new(redis);
        let ours = async |cycles| -> Duration {
            let keys = keys(cycles);
            flood(IN_FLIGHT, cycles, |range| ours(locks.clone(), Arc::clone(&keys), range)).await
        };
        let theirs = async |cycles| -> Duration {
            let keys = keys(cycles);
            flood(IN_FLIGHT, cycles, |range| theirs(manager.clone(), Arc::clone(&keys), range))
                .await
        };
        let cycles = batch(IN_FLIGHT, &theirs).await;
        speedup(async || ours(cycles).await, async || theirs(cycles).await).await
    });
    Ratio {
        name: "cycle_vs_rslock_64",
        goal: Goal::AtLeast(1.1),
        samples,
        what: "cycles a second: Locks::try_acquire and LockGuard::release over rslock, 64 in flight",
    }
}

async fn ours(locks: Locks, keys: Arc<[String]>, cycles: Range<usize>) {
    for _ in cycles.clone() {
        match locks.try_acquire(&keys[cycles.start], TTL).await.unwrap() {
            Acquisition::Acquired(guard) => {
                assert_eq!(guard.release().await.unwrap(), Release::Freed);
            }
            held => panic!("{held:?}"),
        }
    }
}

/// `lock` tries at once, and here it is always free.
async fn theirs(manager: LockManager, keys: Arc<[String]>, cycles: Range<usize>) {
    for _ in cycles.clone() {
        let lock = manager.lock(&*keys[cycles.start], TTL).await.unwrap();
        lock.release().await;
    }
}
