//! The ratios of this crate to others that do the same, measured as those of `benches/ratios` are and
//! told in the same report.

mod cycle;
mod handover;
#[path = "../../ratios/measure.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod measure;
#[path = "../../ratios/handover/ours.rs"]
mod ours;
#[path = "../../ratios/handover/race.rs"]
mod race;
#[path = "../../ratios/report.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod report;
#[path = "../../support/basics.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod support;

use std::path::Path;

fn main() {
    let ratios = [handover::vs_rslock_2(), cycle::vs_rslock_64(), cycle::connected_vs_rslock_64()];
    for ratio in &ratios {
        eprintln!("{}: {:.3}", ratio.name, ratio.value());
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    report::add(&ratios, &package);
}
