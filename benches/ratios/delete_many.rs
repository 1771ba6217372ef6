//! What deleting many keys in one call gains or costs.

use auth_adapter_redis::Cache;
use auth_adapter_redis::redis::Pipeline;

use crate::measure::{Goal, Ratio, batch, speedup};
use crate::support::{Bench, keys, repeat};

/// How many keys are deleted.
const KEYS: usize = 1000;

pub fn vs_one_by_one(bench: &Bench) -> Ratio {
    let cache = Cache::new(bench.redis());
    let keys = keys(KEYS);
    let one_by_one = async || {
        for key in keys.iter() {
            assert!(cache.delete(key).await.unwrap());
        }
    };
    Ratio {
        name: "delete_many_1000_vs_one_by_one",
        goal: Goal::AtLeast(50.0),
        samples: against(bench, one_by_one),
        what: "time: 1000 Cache::delete in turn over one Cache::delete_many of 1000 keys",
    }
}

pub fn vs_pipeline(bench: &Bench) -> Ratio {
    let keys = keys(KEYS);
    let pipeline = async || {
        let mut deletes = Pipeline::with_capacity(KEYS);
        for key in keys.iter() {
            deletes.del(key);
        }
        let mut connection = bench.connection.clone();
        let deleted: Vec<i64> = deletes.query_async(&mut connection).await.unwrap();
        assert_eq!(deleted.iter().sum::<i64>(), KEYS as i64);
    };
    Ratio {
        name: "delete_many_1000_vs_pipeline",
        goal: Goal::None,
        samples: against(bench, pipeline),
        what: "calls a second: Cache::delete_many of 1000 keys over one pipeline of 1000 DEL",
    }
}

/// One `delete_many` of all keys against what `theirs` does to delete them. Each side does it as
/// often as fills a batch; the figure is the time for doing it once.
fn against(bench: &Bench, theirs: impl AsyncFn()) -> Vec<f64> {
    let cache = Cache::new(bench.redis());
    let keys = keys(KEYS);
    let ours = async || assert_eq!(cache.delete_many(&keys).await.unwrap(), KEYS as u64);
    bench.runtime.block_on(async {
        let ours = async |times| repeat(bench, &keys, times, &ours).await;
        let theirs = async |times| repeat(bench, &keys, times, &theirs).await;
        let (our_times, their_times) = (batch(1, &ours).await, batch(1, &theirs).await);
        speedup(
            async || ours(our_times).await / our_times as u32,
            async || theirs(their_times).await / their_times as u32,
        )
        .await
    })
}
