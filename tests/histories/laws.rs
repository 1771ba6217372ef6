//! What every history of locks has to keep.

use std::fmt;
use std::time::Duration;

use super::history::{Attempt, History, Hold};
use super::log::{Leaving, ms};
use super::register::linearizable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Never two holders of one lock whose guards both said held at one instant.
    OneHolder,
    /// A hold has a greater fence than those before.
    FencesRise,
    /// Who waits has the lock in time, or is told that it has not.
    NoneWaitsForEver,
    /// What is done under a lock is as if it were done at once.
    Linearizable,
    /// When all have ended the lock can be taken, and nothing is left of it.
    FreeAfterwards,
}

#[derive(Clone, Debug)]
pub struct Broken {
    pub law: Law,
    pub told: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {}", self.law, self.told)
    }
}

/// How long one waits at the most after its patience: the deadline of the call that is under way, and
/// what a busy machine adds.
const SLACK: Duration = Duration::from_secs(3);

/// The laws that a history breaks. Who waits longer than `patience` has to have the lock.
pub fn broken(history: &History, patience: Duration) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (lock, attempts) in history.by_lock() {
        let mut holds = |law, outcome: Result<(), String>| {
            let told = |told| Broken { law, told: format!("lock {lock}: {told}") };
            broken.extend(outcome.err().map(told));
        };
        holds(Law::OneHolder, one_holder(&attempts));
        holds(Law::FencesRise, fences_rise(&attempts));
        holds(Law::Linearizable, linearizable(&attempts));
        let mut waits = attempts.iter().map(|attempt| waits(history, attempt, patience));
        holds(Law::NoneWaitsForEver, waits.find(Result::is_err).unwrap_or(Ok(())));
    }
    broken
}

fn one_holder(attempts: &[&Attempt]) -> Result<(), String> {
    let mut last: Option<(&Attempt, Duration)> = None;
    for (attempt, hold, until) in certain(attempts) {
        if let Some((before, ended)) = last
            && hold.since < ended
        {
            let both = ended.min(until) - hold.since;
            return Err(format!("held by two for {both:?}:\n{}\n{}", tell(before), tell(attempt)));
        }
        if last.is_none_or(|(_, ended)| ended < until) {
            last = Some((attempt, until));
        }
    }
    Ok(())
}

/// The holds that were believed in at some time, in their order.
fn certain<'a>(attempts: &[&'a Attempt]) -> Vec<(&'a Attempt, Hold, Duration)> {
    let mut holds: Vec<_> = attempts
        .iter()
        .filter_map(|&attempt| {
            let hold = attempt.hold?;
            hold.until.map(|until| (attempt, hold, until))
        })
        .collect();
    holds.sort_by_key(|(_, hold, _)| hold.since);
    holds
}

/// In the order in which the locks were believed in, and in that in which they were asked for after
/// others were had.
fn fences_rise(attempts: &[&Attempt]) -> Result<(), String> {
    let told = |before: &Attempt, after: &Attempt| {
        Err(format!("the later hold has no greater fence:\n{}\n{}", tell(before), tell(after)))
    };
    for pair in certain(attempts).windows(2) {
        if pair[0].1.fence >= pair[1].1.fence {
            return told(pair[0].0, pair[1].0);
        }
    }
    let mut had: Vec<_> = attempts.iter().filter(|attempt| attempt.hold.is_some()).collect();
    let fence = |attempt: &Attempt| attempt.hold.map_or(0, |hold| hold.fence);
    had.sort_by_key(|attempt| fence(attempt));
    if let Some(pair) = had.windows(2).find(|pair| fence(pair[0]) == fence(pair[1])) {
        return told(pair[0], pair[1]);
    }
    let mut wanted = had.clone();
    wanted.sort_by_key(|attempt| attempt.wanted);
    had.sort_by_key(|attempt| attempt.hold.map(|hold| hold.since));
    let mut before = had.into_iter().peekable();
    let mut greatest: Option<&Attempt> = None;
    for attempt in wanted {
        while let Some(earlier) = before.next_if(|it| it.ended() < Some(attempt.wanted)) {
            if greatest.is_none_or(|greatest| fence(greatest) < fence(earlier)) {
                greatest = Some(earlier);
            }
        }
        if let Some(greatest) = greatest.filter(|greatest| fence(greatest) >= fence(attempt)) {
            return told(greatest, attempt);
        }
    }
    Ok(())
}

fn waits(history: &History, attempt: &Attempt, patience: Duration) -> Result<(), String> {
    let process = attempt.id.0;
    let Some(ended) = attempt.ended() else {
        return match history.killed.contains(&process) {
            true => Ok(()),
            false => Err(format!("it was never told:\n{}", tell(attempt))),
        };
    };
    let waited = ended - attempt.wanted - history.stood_still(process, attempt.wanted, ended);
    if waited > attempt.patience + SLACK {
        return Err(format!("it waited for {waited:?}:\n{}", tell(attempt)));
    }
    let patient = attempt.patience >= patience;
    match attempt.left {
        Some((_, Leaving::Held | Leaving::Failed)) if patient => {
            Err(format!("it waited in vain for {waited:?}:\n{}", tell(attempt)))
        }
        _ => Ok(()),
    }
}

fn tell(attempt: &Attempt) -> String {
    let (process, number) = attempt.id;
    let mut told = format!("process {process}, attempt {number}: wanted {}", ms(attempt.wanted));
    told += &format!(" for {:?}", attempt.patience);
    if let Some(hold) = attempt.hold {
        let until = hold.until.map_or("never".to_owned(), |until| format!("until {}", ms(until)));
        told += &format!(", had {}, held {until}, fence {}", ms(hold.since), hold.fence);
    }
    if let Some((at, why)) = attempt.left {
        told += &format!(", left {} ({why:?})", ms(at));
    }
    told
}
