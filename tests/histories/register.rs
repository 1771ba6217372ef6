//! The registers that the locks guard, as ones that are read and written in one step: whether a history
//! of them is linearizable.

use std::time::Duration;

use todc_utils::linearizability::{WGLChecker, history};
use todc_utils::specifications::Specification;

use super::history::{Attempt, Update};
use super::log::{Wrote, ms};

/// One operation on a register.
#[derive(Clone, Debug)]
struct Operation {
    called: Duration,
    /// The latest instant at which it can have taken effect.
    ended: Duration,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    /// Under the lock all the time: nobody came between the read and the write.
    Swaps { fence: u64, from: u64, to: u64 },
    /// Refused although the lock was held all the time, which nothing explains.
    Refused,
    /// The lock may have been lost on the way, or nobody knows what was executed. It has had an effect
    /// if a newer fence was not there yet, and has none if it was.
    MayWrite { fence: u64, to: u64 },
}

/// A register, and the newest fence that wrote to it.
struct Register;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    newest: u64,
    value: u64,
}

impl Specification for Register {
    type State = State;
    type Operation = Step;

    fn init() -> State {
        State { newest: 0, value: 0 }
    }

    fn apply(step: &Step, state: &State) -> (bool, State) {
        let written = |fence, value| (true, State { newest: fence, value });
        match *step {
            Step::Swaps { fence, from, to } if state.value == from && fence >= state.newest => {
                written(fence, to)
            }
            Step::MayWrite { fence, to } if fence >= state.newest => written(fence, to),
            Step::MayWrite { .. } => (true, state.clone()),
            Step::Swaps { .. } | Step::Refused => (false, state.clone()),
        }
    }
}

/// So many operations are looked at in one go, or as many more as overlap.
pub const WINDOW: usize = 200;

/// # Errors
///
/// The end of the shortest beginning that no order of its operations explains.
pub fn linearizable(attempts: &[&Attempt]) -> Result<(), String> {
    match windows(operations(attempts)).into_iter().find(|window| !is_linearizable(window)) {
        None => Ok(()),
        Some(window) => Err(explain(&window)),
    }
}

fn explain(operations: &[Operation]) -> String {
    let mut ends: Vec<Duration> = operations.iter().map(|operation| operation.ended).collect();
    ends.sort();
    let first = ends.partition_point(|&end| is_linearizable(&before(operations, end)));
    let mut told = before(operations, ends[first.min(ends.len() - 1)]);
    told.sort_by_key(|operation| operation.ended);
    let last = told.iter().rev().take(6).rev().map(|operation| {
        format!("\n{} to {}: {:?}", ms(operation.called), ms(operation.ended), operation.step)
    });
    format!("no order explains{}", last.collect::<String>())
}

/// The history in parts: whatever came before an operation that nothing overlaps, the register is
/// after it what that says.
fn windows(mut operations: Vec<Operation>) -> Vec<Vec<Operation>> {
    operations.sort_by_key(|operation| operation.called);
    let (mut windows, mut window, mut ended) = (Vec::new(), Vec::new(), Duration::ZERO);
    for (at, operation) in operations.iter().enumerate() {
        let next = operations.get(at + 1);
        let is_alone =
            operation.called > ended && next.is_none_or(|next| next.called > operation.ended);
        ended = ended.max(operation.ended);
        window.push(operation.clone());
        if let Step::Swaps { fence, to, .. } = operation.step
            && is_alone
            && window.len() >= WINDOW
        {
            windows.push(std::mem::take(&mut window));
            let step = Step::MayWrite { fence, to };
            window.push(Operation { called: operation.ended, ended: operation.ended, step });
        }
    }
    windows.push(window);
    windows
}

fn operations(attempts: &[&Attempt]) -> Vec<Operation> {
    let mut sets: Vec<(u64, Duration)> = updates(attempts)
        .filter_map(|(fence, update)| match update.wrote {
            Some((at, Wrote::Set)) => Some((fence, at)),
            _ => None,
        })
        .collect();
    sets.sort();
    // The first end of a write under each fence or a newer one.
    for at in (1..sets.len()).rev() {
        sets[at - 1].1 = sets[at - 1].1.min(sets[at].1);
    }
    let newer_after = |fence| {
        let at = sets.partition_point(|&(other, _)| other <= fence);
        sets.get(at).map_or(Duration::MAX, |&(_, at)| at)
    };
    updates(attempts)
        .filter_map(|(fence, update)| {
            let (called, to, from) = (update.began, update.to, update.from);
            let (ended, step) = match update.wrote {
                Some((_, Wrote::Nothing)) => return None,
                Some((at, Wrote::Set)) if update.under_lock => {
                    (at, Step::Swaps { fence, from, to })
                }
                Some((at, Wrote::Refused)) if update.under_lock => (at, Step::Refused),
                // A refused one too: where the connection was cut it was sent again, and may have been
                // executed before. After one with a newer fence it has no effect any more.
                _ => (newer_after(fence).max(called), Step::MayWrite { fence, to }),
            };
            Some(Operation { called, ended, step })
        })
        .collect()
}

fn updates<'a>(attempts: &'a [&'a Attempt]) -> impl Iterator<Item = (u64, &'a Update)> {
    attempts.iter().flat_map(|attempt| {
        let fence = attempt.hold.map_or(0, |hold| hold.fence);
        attempt.updates.iter().map(move |update| (fence, update))
    })
}

/// What had been called by then. What had not ended may have been executed.
fn before(operations: &[Operation], end: Duration) -> Vec<Operation> {
    let called = operations.iter().filter(|operation| operation.called <= end);
    called
        .map(|operation| match operation.step {
            Step::Swaps { fence, to, .. } if operation.ended > end => {
                let step = Step::MayWrite { fence, to };
                Operation { ended: Duration::MAX, step, ..operation.clone() }
            }
            _ => operation.clone(),
        })
        .filter(|operation| operation.ended <= end || !matches!(operation.step, Step::Refused))
        .collect()
}

fn is_linearizable(operations: &[Operation]) -> bool {
    if operations.is_empty() {
        return true;
    }
    let mut actions: Vec<_> = operations
        .iter()
        .enumerate()
        .flat_map(|(at, operation)| {
            let step = &operation.step;
            let called = (operation.called, 0, at, history::Action::Call(step.clone()));
            [called, (operation.ended, 1, at, history::Action::Response(step.clone()))]
        })
        .collect();
    // What ends when another is called may come after it.
    actions.sort_by_key(|(when, order, ..)| (*when, *order));
    let actions = actions.into_iter().map(|(_, _, at, action)| (at, action)).collect();
    WGLChecker::<Register>::is_linearizable(history::History::from_actions(actions))
}
