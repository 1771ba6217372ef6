//! A free lock taken and released, over and over.

use std::ops::Range;
use std::time::Duration;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::Release;
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Locks, Redis, script};
use rslock::LockManager;

use crate::measure::{Goal, Ratio, batch, speedup};
use crate::support::{TTL, connect, flood, handle, handle_on, keys, runtime};

const IN_FLIGHT: usize = 64;

/// On a connection made as rslock makes its own, with the defaults of the redis crate: what differs is the
/// locks.
pub fn vs_rslock_64() -> Ratio {
    Ratio {
        name: "cycle_vs_rslock_64",
        goal: Goal::AtLeast(1.1),
        samples: against(async |server| handle_on(&connect(server).await)),
        what: "cycles a second: Locks::try_acquire and LockGuard::release over rslock, 64 in flight",
    }
}

/// On a connection of our own. It has `TCP_NODELAY`, so that no call waits for the reply to another: many
/// calls at once then go out in more, smaller packets.
pub fn connected_vs_rslock_64() -> Ratio {
    Ratio {
        name: "cycle_connected_vs_rslock_64",
        goal: Goal::None,
        samples: against(async |server| handle(server).await),
        what: "the same, on a handle that connects itself, with TCP_NODELAY",
    }
}

/// Each side has one connection for all workers, and each worker a lock of its own.
fn against(connect: impl AsyncFn(&Server) -> Redis) -> Vec<f64> {
    let server = Server::start().unwrap();
    let manager = LockManager::new(vec![server.url()]);
    runtime().block_on(async {
        let redis = connect(&server).await;
        script::library().load(&redis).await.unwrap();
        let locks = Locks::new(redis);
        let keys = keys(IN_FLIGHT);
        let ours = async |cycles| -> Duration {
            flood(IN_FLIGHT, cycles, |range| ours(locks.clone(), key(&keys, &range, cycles), range))
                .await
        };
        let theirs = async |cycles| -> Duration {
            flood(IN_FLIGHT, cycles, |range| {
                theirs(manager.clone(), key(&keys, &range, cycles), range)
            })
            .await
        };
        let cycles = batch(IN_FLIGHT, &theirs).await;
        speedup(async || ours(cycles).await, async || theirs(cycles).await).await
    })
}

/// That of the worker who makes these of all cycles.
fn key(keys: &[String], of: &Range<usize>, cycles: usize) -> String {
    keys[of.start * IN_FLIGHT / cycles].clone()
}

async fn ours(locks: Locks, key: String, cycles: Range<usize>) {
    for _ in cycles {
        match locks.try_acquire(&key, TTL).await.unwrap() {
            Acquisition::Acquired(guard) => {
                assert_eq!(guard.release().await.unwrap(), Release::Freed);
            }
            held => panic!("{held:?}"),
        }
    }
}

/// `lock` tries at once, and here it is always free.
async fn theirs(manager: LockManager, key: String, cycles: Range<usize>) {
    for _ in cycles {
        let lock = manager.lock(key.as_str(), TTL).await.unwrap();
        lock.release().await;
    }
}
