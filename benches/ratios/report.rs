//! The report: a table to read, then one line a ratio for programs, also in a file.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::measure::{Goal, Ratio};

/// Prints all of it. The lines for programs come last, and are left in `ratios.txt` as well, where cargo
/// builds this package.
pub fn print(ratios: &[Ratio], package: &Path) {
    let lines = table(ratios);
    leave(&file(package), &lines);
}

/// The same, but the file keeps the lines of other ratios.
pub fn add(ratios: &[Ratio], package: &Path) {
    let lines = table(ratios);
    let file = file(package);
    let of = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    let told: Vec<_> = lines.lines().map(of).collect();
    let before = fs::read_to_string(&file).unwrap_or_default();
    let kept = before.lines().filter(|line| !told.contains(&of(line)));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    leave(&file, &(kept + &lines));
}

/// Prints all but the file, and gives what goes there.
fn table(ratios: &[Ratio]) -> String {
    println!(
        "\n{:<32}{:>9}{:>9}{:>9}{:>9}{:>5}  goal",
        "ratio", "median", "min", "max", "IQR", "n"
    );
    for ratio in ratios {
        println!(
            "{:<32}{:>9.3}{:>9.3}{:>9.3}{:>9.3}{:>5}  {}",
            ratio.name,
            ratio.value(),
            ratio.quantile(0.0),
            ratio.quantile(1.0),
            ratio.quantile(0.75) - ratio.quantile(0.25),
            ratio.samples.len(),
            goal(ratio),
        );
        println!("    {}", ratio.what);
    }
    println!();
    let lines: String = ratios.iter().map(line).collect();
    print!("{lines}");
    lines
}

fn leave(file: &Path, lines: &str) {
    if let Err(error) = fs::write(file, lines) {
        eprintln!("{}: {error}", file.display());
    }
}

fn goal(ratio: &Ratio) -> String {
    let missed = if ratio.met() { "" } else { ", missed" };
    match ratio.goal {
        Goal::AtLeast(goal) => format!("at least {goal}{missed}"),
        Goal::AtMost(goal) => format!("at most {goal}{missed}"),
        Goal::None => "-".to_owned(),
    }
}

/// `ratio NAME VALUE GOAL`, the goal 0 where there is none.
fn line(ratio: &Ratio) -> String {
    let goal = match ratio.goal {
        Goal::AtLeast(goal) | Goal::AtMost(goal) => goal,
        Goal::None => 0.0,
    };
    let value = ratio.value();
    // Near 1 a third digit, so that no rounding reaches a goal that was missed.
    let digits = if value < 2.0 { 3 } else { 2 };
    format!("ratio {} {value:.digits$} {goal}\n", ratio.name)
}

fn file(package: &Path) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    package.join(target).join("ratios.txt")
}
