//! The ratios that the README states, each measured in one run on one machine.
//!
//! A ratio is one function that measures and returns a `Ratio`; the list below runs them in turn. A
//! goal that is missed is told as it is and fails nothing.

mod allocs;
mod call;
mod delete_many;
mod handover;
mod measure;
mod memory;
#[allow(dead_code, reason = "the peers use the rest")]
mod report;
mod rotate;
mod sessions;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use measure::Ratio;
use support::Bench;

const RATIOS: &[fn(&Bench) -> Ratio] = &[
    call::vs_raw_64,
    call::vs_raw_256,
    call::vs_redis_script_64,
    allocs::allocs_acquire,
    storm::cold_storm_loads,
    delete_many::vs_one_by_one,
    rotate::vs_commands,
    call::acquire_vs_set_nx_64,
    delete_many::vs_pipeline,
    sessions::revoke50_vs_keys,
    sessions::revoke50_vs_commands,
    sessions::check_vs_get_64,
    memory::memory_mb,
    memory::memory_keys_mb,
];

/// These measure several at once.
const GROUPS: &[fn() -> Vec<Ratio>] = &[handover::of_2, handover::of_16];

fn main() {
    // `cargo test --benches` runs it too, without optimization: nothing is to be measured then.
    if std::env::args().all(|arg| arg != "--bench") {
        return;
    }
    let bench = Bench::start();
    let mut ratios = Vec::new();
    for measure in RATIOS {
        let ratio = measure(&bench);
        eprintln!("{}: {:.3}", ratio.name, ratio.value());
        ratios.push(ratio);
    }
    for measure in GROUPS {
        for ratio in measure() {
            eprintln!("{}: {:.3}", ratio.name, ratio.value());
            ratios.push(ratio);
        }
    }
    report::print(&ratios, Path::new(env!("CARGO_MANIFEST_DIR")));
}
