//! How often a call asks for memory.

use std::alloc::System;

use auth_adapter_redis::lock::{Acquire, Leases};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::measure::{Goal, Ratio};
use crate::support::{Bench, TTL, flush, handle, keys};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BATCHES: usize = 5;
const CALLS: usize = 10_000;

/// Counts the whole process: the call, the connection under it, and the runtime. One thread, so that
/// nothing else runs meanwhile.
pub fn allocs_acquire(bench: &Bench) -> Ratio {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let samples = runtime.block_on(async {
        let locks = Leases::new(handle(&bench.server).await);
        count(bench, &locks).await;
        let mut samples = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            samples.push(count(bench, &locks).await);
        }
        samples
    });
    Ratio {
        name: "allocs_acquire",
        goal: Goal::AtMost(5.0),
        samples,
        what: "allocations and reallocations of the whole process in the median Leases::acquire",
    }
}

/// Of the median call: about one in 2000 asks once more, for the read buffer of the connection.
async fn count(bench: &Bench, locks: &Leases) -> f64 {
    flush(&mut bench.connection.clone()).await;
    let keys = keys(CALLS);
    let mut counts = Vec::with_capacity(CALLS);
    for key in keys.iter() {
        let region = Region::new(ALLOCATOR);
        let outcome = locks.acquire(key, TTL).await.unwrap();
        let change = region.change();
        assert!(matches!(outcome, Acquire::Acquired(_)), "{outcome:?}");
        counts.push(change.allocations + change.reallocations);
    }
    counts.sort_unstable();
    counts[CALLS / 2] as f64
}
