//! What happened, put together from the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::log::{Event, Leaving, Line, Wrote};

/// An attempt to take a lock, by its process and its number there.
pub type Id = (u64, u64);

#[derive(Debug, Default)]
pub struct History {
    pub attempts: BTreeMap<Id, Attempt>,
    /// When the harness had a process stand still.
    pub stops: BTreeMap<u64, Vec<(Duration, Duration)>>,
    pub killed: BTreeSet<u64>,
}

/// One that waits for a lock, and what it does if it has it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub id: Id,
    pub lock: usize,
    pub wanted: Duration,
    pub patience: Duration,
    pub left: Option<(Duration, Leaving)>,
    pub hold: Option<Hold>,
    pub updates: Vec<Update>,
}

#[derive(Clone, Copy, Debug)]
pub struct Hold {
    pub fence: u64,
    /// It had its guard by then.
    pub since: Duration,
    /// The last instant for which its guard certainly said held: it did for all since the first.
    pub until: Option<Duration>,
}

/// A read and a write under a lock.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    pub began: Duration,
    pub to: u64,
    pub from: u64,
    /// None where nobody was there any more to see what came of the write.
    pub wrote: Option<(Duration, Wrote)>,
    /// Whether the guard said held after that, so that the lock was held all the time.
    pub under_lock: bool,
}

impl History {
    /// What these lines tell, each worker's in their order.
    pub fn told(log: &str) -> Self {
        let mut history = Self::default();
        let mut read = BTreeMap::new();
        for text in log.lines() {
            let line = Line::parse(text).unwrap_or_else(|| panic!("the log has {text:?}"));
            history.take(line, &mut read);
        }
        history
    }

    fn take(&mut self, line: Line, begun: &mut BTreeMap<Id, (Duration, u64)>) {
        let id = (line.process, line.attempt);
        let at = line.at;
        let attempt = || panic!("{line} comes before it was wanted");
        match line.event {
            Event::Wants { lock, patience } => {
                let patience = Duration::from_millis(patience);
                let attempt = Attempt {
                    id,
                    lock,
                    wanted: at,
                    patience,
                    left: None,
                    hold: None,
                    updates: Vec::new(),
                };
                assert!(self.attempts.insert(id, attempt).is_none(), "{line} comes twice");
            }
            Event::Leaves(why) => {
                self.attempts.get_mut(&id).unwrap_or_else(attempt).left = Some((at, why));
            }
            Event::Has { fence } => {
                let hold = Hold { fence, since: at, until: None };
                self.attempts.get_mut(&id).unwrap_or_else(attempt).hold = Some(hold);
            }
            Event::Held => {
                let attempt = self.attempts.get_mut(&id).unwrap_or_else(attempt);
                attempt.hold.as_mut().expect("who says held has it").until = Some(at);
                for update in &mut attempt.updates {
                    update.under_lock |= update.wrote.is_some();
                }
            }
            Event::Updates { to } => drop(begun.insert(id, (at, to))),
            Event::Read { from } => {
                let (began, to) = begun.remove(&id).expect("who reads has begun to");
                let update = Update { began, to, from, wrote: None, under_lock: false };
                self.attempts.get_mut(&id).unwrap_or_else(attempt).updates.push(update);
            }
            Event::Wrote(outcome) => {
                let attempt = self.attempts.get_mut(&id).unwrap_or_else(attempt);
                let update = attempt.updates.last_mut().expect("who writes has read");
                update.wrote = Some((at, outcome));
            }
            Event::Stops => self.stops.entry(line.process).or_default().push((at, Duration::MAX)),
            Event::Continues => {
                let last = self.stops.get_mut(&line.process).and_then(|stops| stops.last_mut());
                last.expect("who goes on was stopped").1 = at;
            }
            Event::Killed => drop(self.killed.insert(line.process)),
        }
    }

    pub fn acquisitions(&self) -> usize {
        self.attempts.values().filter(|attempt| attempt.hold.is_some()).count()
    }

    /// The attempts at one lock after those at another.
    pub fn by_lock(&self) -> BTreeMap<usize, Vec<&Attempt>> {
        let mut locks = BTreeMap::<_, Vec<_>>::new();
        for attempt in self.attempts.values() {
            locks.entry(attempt.lock).or_default().push(attempt);
        }
        locks
    }

    /// How long the harness had a process stand still in this time.
    pub fn stood_still(&self, process: u64, from: Duration, to: Duration) -> Duration {
        let stops = self.stops.get(&process).into_iter().flatten();
        stops.map(|&(began, ended)| ended.min(to).saturating_sub(began.max(from))).sum()
    }
}

impl Attempt {
    /// When it had its lock, or waited no more.
    pub fn ended(&self) -> Option<Duration> {
        self.hold.map(|hold| hold.since).or(self.left.map(|(at, _)| at))
    }
}
