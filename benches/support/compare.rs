//! One group of criterion for each verb, its sides next to each other.

use std::ops::Range;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};

use super::{Bench, flood};

/// A group that takes little time: what decides is how the sides compare.
pub fn group<'a>(criterion: &'a mut Criterion, verb: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(verb);
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    group
}

/// Measures one side, alone and with 64 calls in flight. `prepare` sets up what a number of calls
/// needs while the clock stands; `worker` makes the calls of its range in turn. The figure is the
/// time of all calls over their number, so with 64 in flight it is far below what one call waits.
pub fn side<P, F>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    bench: &Bench,
    name: &str,
    prepare: impl AsyncFn(&Bench, usize) -> P,
    worker: impl Fn(&P, Range<usize>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    for in_flight in [1, 64] {
        group.bench_function(BenchmarkId::new(name, in_flight), |bencher| {
            bencher.iter_custom(|calls| {
                bench.runtime.block_on(async {
                    let calls = calls as usize;
                    let prepared = prepare(bench, calls).await;
                    flood(in_flight, calls, |range| worker(&prepared, range)).await
                })
            });
        });
    }
}
