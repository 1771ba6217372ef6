//! The seven operations that never fail.

use auth_adapter_redis::CacheAdapter;
use auth_adapter_redis::cache::Read;

use super::{Column, Operation, answer};
use crate::answer::Answer;
use crate::support::LONG;
use crate::world::World;

/// What a call came to, and whether Redis had no part in it.
async fn swallowed<T>(world: &World, call: impl Future<Output = T>) -> (T, bool) {
    let count = || {
        let health = world.adapter.health();
        assert_eq!(health.rejected.total(), 0);
        health.swallowed.total()
    };
    let before = count();
    let told = call.await;
    (told, count() > before)
}

async fn done_or(instead: Answer, world: &World, call: impl Future<Output = ()>) -> Answer {
    match swallowed(world, call).await {
        ((), false) => Answer::Right,
        ((), true) => instead,
    }
}

pub fn reads() -> Vec<Operation> {
    vec![
        Operation::new("adapter/is_available", Column::Adapter, |world| {
            Box::pin(async {
                if world.adapter.is_available().await { Answer::Right } else { Answer::False }
            })
        }),
        Operation::new("adapter/get", Column::Adapter, |world| {
            Box::pin(async {
                match swallowed(world, world.adapter.get("adapter/get")).await {
                    (Some(_), _) => Answer::Right,
                    (None, true) => Answer::Nothing,
                    (None, false) => Answer::Gone,
                }
            })
        }),
        Operation::new("adapter/read", Column::Degrades, |world| {
            Box::pin(async {
                answer!(
                    world.adapter.read("adapter/read").await,
                    Read::Hit(_) => Right, Read::Miss => Gone, Read::Degraded(_) => Degraded,
                )
            })
        }),
    ]
}

pub fn writes() -> Vec<Operation> {
    vec![
        Operation::new("adapter/set", Column::Adapter, |world| {
            let call = world.adapter.set("adapter/set", "new", LONG);
            Box::pin(done_or(Answer::NotKept, world, call))
        }),
        Operation::new("adapter/acquire_lock", Column::Adapter, |world| {
            Box::pin(async {
                let call = world.adapter.acquire_lock("adapter/acquire_lock", LONG);
                match swallowed(world, call).await {
                    (true, false) => Answer::Right,
                    (true, true) => Answer::InProcess,
                    (false, _) => Answer::False,
                }
            })
        }),
        Operation::new("adapter/release_lock", Column::Adapter, |world| {
            Box::pin(done_or(Answer::Later, world, world.adapter.release_lock(&world.held)))
        }),
        Operation::new("adapter/delete", Column::Adapter, |world| {
            Box::pin(done_or(Answer::Later, world, world.adapter.delete("adapter/delete")))
        }),
        Operation::new("adapter/delete_many", Column::Adapter, |world| {
            let call = world.adapter.delete_many(&["adapter/delete_many", "adapter/delete_many2"]);
            Box::pin(done_or(Answer::Later, world, call))
        }),
    ]
}
