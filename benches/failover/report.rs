//! The report: a Markdown table, also in a file.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::run::Outcome;

/// A figure of one death: its name, itself, and its unit.
type Figure = (&'static str, fn(&Outcome) -> f64, &'static str);

const FIGURES: &[Figure] = &[
    ("until a replica takes writes", |of| millis(of.promoted), " ms"),
    ("until a Sentinel, or another primary, names it", |of| millis(of.named), " ms"),
    ("until the handle's first success", |of| millis(of.first), " ms"),
    ("the handle behind the naming", |of| millis(of.first) - millis(of.named), " ms"),
    ("calls on keys of the dead primary", |of| of.counts.calls as f64, ""),
    ("answered with an error", |of| of.counts.lost_calls() as f64, ""),
    ("calls on keys of the other primaries", |of| of.others.calls as f64, ""),
    ("answered with an error", |of| of.others.lost_calls() as f64, ""),
    ("slowest answer of these to a plain connection", |of| millis(of.others_slowest), " ms"),
    ("wrong answers", |of| of.wrong().len() as f64, ""),
    ("acknowledged writes that replication lost", |of| of.counts.lost_writes as f64, ""),
    ("held locks that replication lost", |of| of.counts.lost_locks as f64, ""),
    ("scripts sent to the new primary", |of| of.scripts as f64, ""),
];

/// One death, as it is told while the others are still to come.
pub fn line(outcome: &Outcome) -> String {
    format!(
        "promoted after {:?}, named after {:?}, first success after {:?}, {} of {} calls lost {:?}",
        outcome.promoted,
        outcome.named,
        outcome.first,
        outcome.counts.lost_calls(),
        outcome.counts.calls,
        outcome.counts.lost,
    )
}

/// Prints the table, and leaves it in `failover.md` as well.
pub fn print(groups: &[(&str, &[Outcome])]) {
    let mut table = String::from("| `kill -9` of a primary under load |");
    let mut rule = String::from("|---|");
    for (name, deaths) in groups {
        table += &format!(" {name}: median of {} | worst |", deaths.len());
        rule += "---|---|";
    }
    table += &format!("\n{rule}\n");
    for (name, of, unit) in FIGURES {
        table += &format!("| {name} |");
        for (_, deaths) in groups {
            let (median, worst) = summary(deaths.iter().map(of).collect());
            table += &format!(" {median:.0}{unit} | {worst:.0}{unit} |");
        }
        table += "\n";
    }
    for (name, deaths) in groups {
        table += &format!("\n{name}, all errors by kind: {}.\n", kinds(deaths));
    }
    println!("\n{table}");
    let file = target().join("failover.md");
    if let Err(error) = fs::write(&file, &table) {
        eprintln!("{}: {error}", file.display());
    }
}

/// The median and the worst, which is the largest of every figure.
fn summary(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let median = match values.len() % 2 {
        0 => (values[half - 1] + values[half]) / 2.0,
        _ => values[half],
    };
    (median, values[values.len() - 1])
}

fn kinds(deaths: &[Outcome]) -> String {
    let mut kinds = BTreeMap::<&str, u64>::new();
    let lost = deaths.iter().flat_map(|death| death.counts.lost.iter().chain(&death.others.lost));
    for (kind, count) in lost {
        *kinds.entry(kind).or_default() += count;
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    kinds.join(", ")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Where cargo builds.
fn target() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    package.join(target)
}
