//! What each fault of a server does to each operation: the tables of `docs/faults.md`.
//!
//! A test brings one fault about on a server of its own, calls every operation while it lasts, each by
//! itself and in time, lifts it, and checks what holds afterwards. What it found is compared with the
//! page, but for the times; `make faults` writes the page anew, from one run of all tests.
//!
//! On a server alone: `tests/faults.rs` has the seven operations behind Sentinels and on a cluster too.

#[path = "../support/mod.rs"]
mod support;

mod answer;
mod faults;
mod kept;
mod operations;
mod page;
mod stage;
mod stranger;
mod world;

use std::time::Duration;

/// Of calls that a fault lets have no answer.
const DEADLINE: Duration = Duration::from_millis(150);
/// Of calls that are answered: no busy machine is to be taken for a fault.
const PATIENT: Duration = Duration::from_secs(10);
/// How long one waits in line for a lock that is not freed.
const MAX_WAIT: Duration = Duration::from_millis(40);
