//! Histories of locks on a real server, while everything around them breaks.
//!
//! Processes of workers take locks, and change the registers that the locks guard, while the harness kills
//! and stops them, kills and restarts the server, and breaks their connections. All of them append to
//! one log, by one clock. Laws, which know nothing but that log, say what must never be seen in it.
//!
//! `HISTORIES` says how many acquisitions there are to be at the least, over all storms: `make histories`.
//! `HISTORIES_SEED` has the storms of another run begin alike; what the machine makes of it is another matter.

#[path = "histories/guarding.rs"]
mod guarding;
#[path = "histories/history.rs"]
mod history;
#[path = "histories/laws.rs"]
mod laws;
#[path = "histories/log.rs"]
mod log;
#[path = "histories/process.rs"]
mod process;
#[path = "histories/random.rs"]
mod random;
#[path = "histories/register.rs"]
mod register;
#[path = "histories/small.rs"]
mod small;
#[path = "histories/storm.rs"]
mod storm;
mod support;
#[path = "histories/weather.rs"]
mod weather;
#[path = "histories/worker.rs"]
mod worker;

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use guarding::Doctored;
use laws::Law;
use random::Random;
use storm::Storm;
use weather::Fault;

/// Longer than any worker waits while all of them get on.
const PATIENCE: Duration = Duration::from_secs(15);

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seeds() -> Random {
    let now = UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    Random::new(number("HISTORIES_SEED").unwrap_or(now))
}

/// How many tests of storms there are.
const KINDS: usize = 4;

/// Storms of one kind until there were enough acquisitions.
fn keep_the_laws(name: &'static str, faults: &'static [Fault]) {
    static IN_ALL: AtomicUsize = AtomicUsize::new(0);
    let enough = number("HISTORIES").unwrap_or(1) as usize / KINDS;
    let mut seeds = seeds();
    let mut acquisitions = 0;
    loop {
        let began = Instant::now();
        let lasts = Duration::from_secs(6);
        let seed = seeds.next();
        let storm =
            Storm { name, seed, faults, locks: 8, lasts, patience: PATIENCE, doctored: None };
        let told = storm.rages();
        let broken: Vec<_> = told.broken.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "{}\nin {storm}", broken.join("\n"));
        assert!(told.acquisitions > 0 && told.updates > 0, "{told:?}");
        for fault in faults {
            assert!(told.faults.contains_key(fault), "no {fault:?}: {told:?}");
        }
        acquisitions += told.acquisitions;
        let in_all = IN_ALL.fetch_add(told.acquisitions, Ordering::Relaxed) + told.acquisitions;
        println!("{name}, {:.1?}: {told:?}; {in_all} acquisitions in all", began.elapsed());
        if acquisitions >= enough {
            return;
        }
    }
}

#[test]
fn nothing_breaks_and_the_laws_are_kept() {
    keep_the_laws("calm", &[]);
}

#[test]
fn workers_that_are_killed_or_stopped_break_no_law() {
    keep_the_laws("workers", &[Fault::KillWorkers, Fault::StopWorkers]);
}

#[test]
fn connections_that_break_break_no_law() {
    let faults =
        &[Fault::Cut, Fault::DelayReplies, Fault::LoseReply, Fault::Silence, Fault::Freeze];
    keep_the_laws("connections", faults);
}

#[test]
fn a_server_that_is_killed_breaks_none_either_while_all_else_breaks_too() {
    use Fault::*;
    keep_the_laws(
        "all",
        &[
            KillServer,
            StopServer,
            FlushScripts,
            KillWorkers,
            StopWorkers,
            Cut,
            DelayReplies,
            LoseReply,
            Silence,
            Freeze,
        ],
    );
}

/// Whether doctored workers are found to break this law, in one storm or another.
fn is_found(law: Law, name: &'static str, faults: &'static [Fault], doctored: Doctored) -> bool {
    let mut seeds = seeds();
    (1..=30).any(|count| {
        let lasts = Duration::from_secs(2);
        let patience = lasts;
        let seed = seeds.next();
        let doctored = Some(doctored);
        let storm = Storm { name, seed, faults, locks: 2, lasts, patience, doctored };
        let told = storm.rages();
        if told.broken.is_empty() {
            return false;
        }
        storm.forget();
        let found = told.broken.iter().find(|broken| broken.law == law);
        if let Some(broken) = found {
            println!("in storm {count}: {broken}");
        }
        found.is_some()
    })
}

#[test]
fn a_plain_delete_for_a_release_makes_two_holders() {
    let name = "plain-delete";
    assert!(is_found(Law::OneHolder, name, &[Fault::StopWorkers], Doctored::DeletesPlainly));
}

/// The fences refuse the older holder's writes, which it cannot explain.
#[test]
fn what_two_holders_do_is_not_linearizable() {
    let name = "two-holders";
    assert!(is_found(Law::Linearizable, name, &[Fault::StopWorkers], Doctored::DeletesPlainly));
}

#[test]
fn a_lease_that_is_counted_from_the_reply_makes_two_holders() {
    let name = "from-the-reply";
    assert!(is_found(Law::OneHolder, name, &[Fault::DelayReplies], Doctored::CountsFromTheReply));
}

/// One that is granted the lock while it is stopped, and killed before it takes it up.
#[test]
fn a_grant_without_a_lease_leaves_the_lock_to_the_dead() {
    let (name, faults) = ("without-lease", &[Fault::StopWorkers, Fault::KillWorkers]);
    assert!(is_found(Law::FreeAfterwards, name, faults, Doctored::GrantsWithoutLease));
}
