//! The laws on small histories, each with what breaks it and what only seems to.

use std::time::Duration;

use super::history::History;
use super::laws::{Law, broken};
use super::log::{Event, Leaving, Line, Wrote};
use super::register::WINDOW;

use Event::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// What happened to a process at its only attempt, after so many milliseconds.
type Happened = (u64, u64, Event);

fn breaks(happened: &[Happened]) -> Vec<Law> {
    let lines = happened.iter().map(|&(at, process, event)| {
        let attempt = if matches!(event, Stops | Continues | Killed) { 0 } else { 1 };
        format!("{}\n", Line { at: Duration::from_millis(at), process, attempt, event })
    });
    let history = History::told(&lines.collect::<String>());
    broken(&history, PATIENCE).into_iter().map(|broken| broken.law).collect()
}

fn wants(at: u64, process: u64) -> Happened {
    (at, process, Wants { lock: 0, patience: PATIENCE.as_millis() as u64 })
}

/// A hold in which the guard was asked at these times.
fn holds(process: u64, fence: u64, since: u64, asked: &[u64]) -> Vec<Happened> {
    let held = asked.iter().map(|&at| (at, process, Held));
    [wants(0, process), (since, process, Has { fence })].into_iter().chain(held).collect()
}

/// A hold with one update, and whether the guard was asked after it.
fn changes(fence: u64, at: u64, from: u64, to: u64, wrote: Wrote, asked: bool) -> Vec<Happened> {
    let mut happened = holds(fence, fence, at, &[at]);
    happened.push((at + 1, fence, Updates { to }));
    happened.push((at + 2, fence, Read { from }));
    happened.push((at + 3, fence, Event::Wrote(wrote)));
    happened.extend(asked.then_some((at + 4, fence, Held)));
    happened
}

#[test]
fn two_beliefs_at_one_instant_are_found() {
    let first = holds(1, 1, 10, &[10, 30]);
    assert_eq!(breaks(&[first.clone(), holds(2, 2, 29, &[29])].concat()), [Law::OneHolder]);
    assert_eq!(breaks(&[first.clone(), holds(2, 2, 31, &[31, 40])].concat()), []);
    // One that lies within another, and one that comes after that.
    let within = [holds(1, 1, 10, &[90]), holds(2, 2, 20, &[30]), holds(3, 3, 40, &[50])].concat();
    assert_eq!(breaks(&within), [Law::OneHolder]);
    // A guard that never said held was lost when it came.
    assert_eq!(breaks(&[first, holds(2, 2, 20, &[])].concat()), []);
}

#[test]
fn a_fence_that_does_not_rise_is_found() {
    let first = holds(1, 7, 10, &[10, 20]);
    for fence in [6, 7] {
        let second = holds(2, fence, 30, &[30]);
        assert_eq!(breaks(&[first.clone(), second].concat()), [Law::FencesRise]);
    }
    // Nobody believed in this one, but it was wanted when another had its fence.
    let late = vec![wants(11, 2), (30, 2, Has { fence: 6 })];
    assert_eq!(breaks(&[first.clone(), late].concat()), [Law::FencesRise]);
    let before = vec![wants(9, 2), (30, 2, Has { fence: 6 })];
    assert_eq!(breaks(&[first, before].concat()), []);
}

#[test]
fn one_that_waits_too_long_is_found() {
    assert_eq!(breaks(&[wants(0, 1)]), [Law::NoneWaitsForEver]);
    assert_eq!(breaks(&[wants(0, 1), (9_000, 1, Killed)]), []);
    let has = Has { fence: 1 };
    assert_eq!(breaks(&[wants(0, 1), (20_000, 1, has)]), [Law::NoneWaitsForEver]);
    let stops = [(1_000, 1, Stops), (19_000, 1, Continues)];
    assert_eq!(breaks(&[wants(0, 1), stops[0], stops[1], (20_000, 1, has)]), []);
    // To be told that another has it is well for those who wait less than the patient.
    let leaves = (10_000, 1, Leaves(Leaving::Held));
    assert_eq!(breaks(&[wants(0, 1), leaves]), [Law::NoneWaitsForEver]);
    assert_eq!(breaks(&[(0, 1, Wants { lock: 0, patience: 9_000 }), leaves]), []);
}

#[test]
fn an_update_that_is_lost_is_found() {
    let first = changes(1, 10, 0, 100, Wrote::Set, true);
    let second = |from| changes(2, 20, from, 200, Wrote::Set, true);
    assert_eq!(breaks(&[first.clone(), second(100)].concat()), []);
    assert_eq!(breaks(&[first.clone(), second(0)].concat()), [Law::Linearizable]);
    let refused = changes(2, 20, 100, 200, Wrote::Refused, true);
    assert_eq!(breaks(&[first, refused].concat()), [Law::Linearizable]);
}

#[test]
fn one_that_came_too_late_or_was_not_answered_may_be_lost_or_not() {
    let then = |from| changes(2, 20, from, 200, Wrote::Set, true);
    let unsure = [
        (Wrote::Set, false),
        (Wrote::Unknown, true),
        (Wrote::Unknown, false),
        (Wrote::Refused, false),
    ];
    for (wrote, asked) in unsure {
        let first = changes(1, 10, 0, 100, wrote, asked);
        assert_eq!(breaks(&[first.clone(), then(100)].concat()), []);
        assert_eq!(breaks(&[first.clone(), then(0)].concat()), []);
        // But not after a newer fence.
        let third = changes(3, 30, 100, 300, Wrote::Set, true);
        assert_eq!(breaks(&[first, then(0), third].concat()), [Law::Linearizable]);
    }
    // Killed while the write was on its way.
    let mut killed = changes(1, 10, 0, 100, Wrote::Set, false);
    killed.pop();
    assert_eq!(breaks(&[killed.clone(), then(100)].concat()), []);
    assert_eq!(breaks(&[killed, then(0)].concat()), []);
    let nothing = changes(1, 10, 0, 100, Wrote::Nothing, true);
    assert_eq!(breaks(&[nothing, then(100)].concat()), [Law::Linearizable]);
}

#[test]
fn a_lost_update_is_found_wherever_it_is_in_a_long_history() {
    let many = 3 * WINDOW as u64;
    let history = |lost: Option<u64>| {
        let changes = (1..=many).map(|number| {
            let from = number - 1 - u64::from(lost == Some(number));
            let mut happened = changes(number, number * 5, from, number, Wrote::Set, true);
            happened[0].0 = number * 5;
            happened
        });
        changes.collect::<Vec<_>>().concat()
    };
    assert_eq!(breaks(&history(None)), []);
    let window = WINDOW as u64;
    for lost in [2, window - 1, window, window + 1, window + 2, 2 * window, many] {
        assert_eq!(breaks(&history(Some(lost))), [Law::Linearizable], "{lost}");
    }
}
