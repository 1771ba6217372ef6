//! Locks, by token and with guards.

use std::time::Duration;

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::lock::{Acquire, AcquireFenced, Extend, Join, Release, Steal};

use super::{Column, Operation, answer};
use crate::support::LONG;
use crate::world::place;
use crate::{DEADLINE, MAX_WAIT};

pub fn by_token() -> Vec<Operation> {
    vec![
        Operation::new("lock/peek", Column::Reads, |world| {
            Box::pin(async {
                answer!(world.leases.peek("lock/peek").await, Some(_) => Right, None => Gone)
            })
        }),
        Operation::new("lock/inspect", Column::Reads, |world| {
            Box::pin(async {
                answer!(world.leases.inspect("lock/inspect").await, Some(_) => Right, None => Gone)
            })
        }),
        Operation::new("lock/list", Column::Reads, |world| {
            Box::pin(async {
                let locks = world.leases.list("lock/peek").await;
                answer!(locks.map(|locks| locks.len()), 1 => Right, 0 => Gone)
            })
        }),
        Operation::new("lock/acquire", Column::Grows, |world| {
            Box::pin(async {
                answer!(
                    world.leases.acquire("lock/acquire", LONG).await,
                    Acquire::Acquired(_) => Right, Acquire::Unknown { .. } => Unknown,
                )
            })
        }),
        Operation::new("lock/retry_acquire", Column::Grows, |world| {
            Box::pin(async {
                let token = world.token("retries").clone();
                answer!(
                    world.leases.retry_acquire("lock/retry_acquire", token, LONG).await,
                    Acquire::Acquired(_) => Right, Acquire::Unknown { .. } => Unknown,
                )
            })
        }),
        Operation::new("lock/acquire_fenced", Column::Grows, |world| {
            Box::pin(async {
                answer!(
                    world.leases.acquire_fenced("lock/acquire_fenced", LONG).await,
                    AcquireFenced::Acquired { .. } => Right, AcquireFenced::Unknown { .. } => Unknown,
                )
            })
        }),
        Operation::new("lock/retry_acquire_fenced", Column::Grows, |world| {
            Box::pin(async {
                let (key, token) = ("lock/retry_acquire_fenced", world.token("retries").clone());
                answer!(
                    world.leases.retry_acquire_fenced(key, token, LONG).await,
                    AcquireFenced::Acquired { .. } => Right, AcquireFenced::Unknown { .. } => Unknown,
                )
            })
        }),
        Operation::new("lock/extend", Column::Grows, |world| {
            Box::pin(async {
                let token = world.token("lock/extend");
                answer!(
                    world.leases.extend("lock/extend", token, LONG * 2).await,
                    Extend::Extended { .. } => Right, Extend::NotOurs => Gone,
                )
            })
        }),
        Operation::new("lock/extend_many", Column::Grows, |world| {
            Box::pin(async {
                let lease = ("lock/extend_many", world.token("lock/extend_many"), LONG * 2);
                let extended = world.leases.extend_many(&[lease]).await;
                answer!(
                    extended.map(|each| each[0]),
                    Extend::Extended { .. } => Right, Extend::NotOurs => Gone,
                )
            })
        }),
        Operation::new("lock/join", Column::Grows, |world| {
            Box::pin(async {
                let token = world.token("waits");
                answer!(
                    world.leases.join("lock/join", token, LONG, &place(), Duration::ZERO).await,
                    Join::Queued { .. } => Right, Join::Acquired { .. } => Gone,
                )
            })
        }),
        Operation::new("lock/steal", Column::Grows, |world| {
            Box::pin(async {
                let from = world.seen("lock/steal");
                answer!(
                    world.leases.steal("lock/steal", from, LONG).await,
                    Steal::Stolen { .. } => Right, Steal::Changed => Gone, Steal::Unknown { .. } => Unknown,
                )
            })
        }),
        Operation::new("lock/release", Column::Frees, |world| {
            Box::pin(async {
                let token = world.token("lock/release");
                answer!(
                    world.leases.release("lock/release", token).await,
                    Release::Freed => Right, Release::NotOurs => Gone,
                )
            })
        }),
        Operation::new("lock/hand_over", Column::Frees, |world| {
            Box::pin(async {
                let token = world.token("lock/hand_over");
                answer!(
                    world.leases.hand_over("lock/hand_over", token).await,
                    Release::Freed => Right, Release::NotOurs => Gone,
                )
            })
        }),
        Operation::new("lock/leave", Column::Frees, |world| {
            Box::pin(async {
                // One who has a place has no lock to free.
                let token = world.token("waits");
                answer!(
                    world.leases.leave("lock/leave", token, &place()).await,
                    Release::NotOurs => Right,
                )
            })
        }),
    ]
}

pub fn with_guards() -> Vec<Operation> {
    vec![
        Operation::new("guard/try_acquire", Column::Guards, |world| {
            Box::pin(async {
                answer!(
                    world.locks.try_acquire("guard/try_acquire", LONG).await,
                    Acquisition::Acquired(guard) => { world.keep(guard); Right },
                )
            })
        }),
        Operation::new("guard/acquire", Column::Guards, |world| {
            Box::pin(async {
                answer!(
                    world.locks.acquire("guard/acquire", LONG, MAX_WAIT).await,
                    Acquisition::Acquired(guard) => { world.keep(guard); Right },
                )
            })
        })
        .waiting(MAX_WAIT + DEADLINE),
        Operation::new("guard/extend", Column::Guards, |world| {
            Box::pin(async {
                let guard = world.take_guard("guard/extend");
                answer!(
                    guard.extend(LONG * 2).await,
                    Extend::Extended { .. } => Right, Extend::NotOurs => Gone,
                )
            })
        }),
        Operation::new("guard/release", Column::Guards, |world| {
            Box::pin(async {
                answer!(
                    world.take_guard("guard/release").release().await,
                    Release::Freed => Right, Release::NotOurs => Gone,
                )
            })
        }),
        Operation::new("guard/steal", Column::Guards, |world| {
            Box::pin(async {
                let from = world.seen("guard/steal");
                answer!(
                    world.locks.steal("guard/steal", from, LONG).await,
                    Some(guard) => { world.keep(guard); Right }, None => Gone,
                )
            })
        }),
    ]
}

/// The lock is another's all the time.
pub fn in_line() -> Operation {
    Operation::new("guard/acquire in line", Column::Guards, |world| {
        Box::pin(async {
            answer!(
                world.locks.acquire("guard/acquire in line", LONG, MAX_WAIT).await,
                Acquisition::Held { .. } => Right,
                Acquisition::Acquired(_) => Gone,
            )
        })
    })
    .waiting(MAX_WAIT + DEADLINE)
}
