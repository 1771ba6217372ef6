//! What a failover costs: a primary is killed under load, again and again, in a fresh group each
//! time. A wrong answer fails it.

mod report;
mod run;

use std::process::ExitCode;

use run::Outcome;
use run::stage::Stage;

const DEATHS: usize = 10;

fn main() -> ExitCode {
    // `cargo test --benches` runs it too: nothing is to be measured then.
    if std::env::args().all(|arg| arg != "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let deaths = |name: &str, stage: fn() -> Stage| -> Vec<Outcome> {
        let death = |at| {
            let outcome = runtime.block_on(run::run(&stage()));
            eprintln!("{name} {at}: {}", report::line(&outcome));
            outcome
        };
        (1..=DEATHS).map(death).collect()
    };
    let sentinel = deaths("Sentinel", Stage::sentinel);
    let cluster = deaths("cluster", Stage::cluster);
    report::print(&[("Sentinel, 1+2+3", &sentinel), ("cluster, 3+3", &cluster)]);
    let wrong: Vec<_> = sentinel.iter().chain(&cluster).flat_map(Outcome::wrong).collect();
    for wrong in &wrong {
        eprintln!("wrong: {wrong}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
