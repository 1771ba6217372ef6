//! The cache, fenced strings and rate limits.

use auth_adapter_redis::cache::{Fill, Read};
use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::limiter::Decision;
use auth_adapter_redis::rate::{Check, CheckMany};
use auth_adapter_redis::script::library;

use super::{Column, Operation, answer};
use crate::support::LONG;
use crate::world::QUOTA;

/// The one that is called first.
pub fn set() -> Operation {
    Operation::new("cache/set", Column::Grows, |world| {
        Box::pin(async { answer!(world.cache.set("cache/set", "v", LONG).await, () => Right) })
    })
}

pub fn all() -> Vec<Operation> {
    vec![
        Operation::new("cache/get", Column::Reads, |world| {
            Box::pin(async {
                answer!(world.cache.get("cache/get").await, Some(_) => Right, None => Gone)
            })
        }),
        Operation::new("cache/read", Column::Degrades, |world| {
            Box::pin(async {
                answer!(
                    world.cache.read("cache/read").await,
                    Read::Hit(_) => Right, Read::Miss => Gone, Read::Degraded(_) => Degraded,
                )
            })
        }),
        Operation::new("cache/fill", Column::Degrades, |world| {
            Box::pin(async {
                answer!(
                    world.cache.fill("cache/fill", "v", LONG).await,
                    Fill::Filled => Right, Fill::Degraded(_) => Degraded,
                )
            })
        }),
        Operation::new("cache/delete", Column::Frees, |world| {
            Box::pin(async {
                answer!(world.cache.delete("cache/delete").await, true => Right, false => Gone)
            })
        }),
        Operation::new("cache/delete_many", Column::Frees, |world| {
            Box::pin(async {
                let deleted = world.cache.delete_many(&["cache/delete_many", "no key"]).await;
                answer!(deleted, 1 => Right, 0 => Gone)
            })
        }),
        Operation::new("cache/delete_many_by_slot", Column::Frees, |world| {
            Box::pin(async {
                let keys = ["cache/delete_many_by_slot"];
                let deleted = world.cache.delete_many_by_slot(&keys).await;
                answer!(deleted, 1 => Right, 0 => Gone)
            })
        }),
        Operation::new("fence/check_and_set", Column::Grows, |world| {
            Box::pin(async {
                let key = "fence/check_and_set";
                answer!(
                    world.fenced.check_and_set(key, "v", world.fence).await,
                    CheckAndSet::Set => Right,
                )
            })
        }),
        Operation::new("rate/peek", Column::Reads, |world| {
            Box::pin(async {
                let level = world.limiter.peek("rate/peek", &QUOTA).await;
                answer!(level.map(|level| level.remaining), 4 => Right, 5 => Gone)
            })
        }),
        Operation::new("rate/check", Column::Grows, |world| {
            Box::pin(async {
                let check = world.limiter.check("rate/check", &QUOTA, 1).await;
                answer!(check, Check::Allowed { .. } => Right)
            })
        }),
        Operation::new("rate/check_many", Column::Grows, |world| {
            Box::pin(async {
                let limits = [("rate/check_many", QUOTA), ("rate/check_many2", QUOTA)];
                let check = world.limiter.check_many(&limits, 1).await;
                answer!(check, CheckMany::Allowed { .. } => Right)
            })
        }),
        Operation::new("rate/reset", Column::Frees, |world| {
            Box::pin(async {
                let reset = world.limiter.reset("rate/reset", &QUOTA).await;
                answer!(reset, true => Right, false => Gone)
            })
        }),
        Operation::new("limiter/check", Column::Limits, |world| {
            Box::pin(async {
                answer!(
                    world.fallback.check("limiter/check", &QUOTA, 1).await,
                    Decision::Redis(Check::Allowed { .. }) => Right,
                    Decision::InProcess { .. } => InProcess,
                )
            })
        }),
        Operation::new("limiter/check_many", Column::Limits, |world| {
            Box::pin(async {
                let limits = [("limiter/check_many", QUOTA), ("limiter/check_many2", QUOTA)];
                answer!(
                    world.fallback.check_many(&limits, 1).await,
                    Decision::Redis(CheckMany::Allowed { .. }) => Right,
                    Decision::InProcess { .. } => InProcess,
                )
            })
        }),
        Operation::new("limiter/reset", Column::Frees, |world| {
            Box::pin(async {
                let reset = world.fallback.reset("limiter/reset", &QUOTA).await;
                answer!(reset, true => Right, false => Gone)
            })
        }),
        Operation::new("script/load", Column::Grows, |world| {
            Box::pin(async { answer!(library().load(&world.redis).await, () => Right) })
        }),
    ]
}
