//! What became of calls.

use std::collections::BTreeMap;

use auth_adapter_redis::Error;

#[derive(Default)]
pub struct Counts {
    pub calls: u64,
    /// Calls that were answered with an error, by its kind.
    pub lost: BTreeMap<String, u64>,
    /// Writes that were acknowledged, and that the heir never had.
    pub lost_writes: u64,
    /// Locks that were held, and that the heir never had.
    pub lost_locks: u64,
    /// Answers that nothing explains, in words.
    pub wrong: Vec<String>,
}

impl Counts {
    pub fn lose(&mut self, error: &Error) {
        let kind = match error {
            Error::Unavailable(_) => "unavailable",
            Error::Unanswered { .. } => "unanswered",
            Error::Server(error) => &error.code,
            _ => return self.wrong.push(format!("an error that no failover explains: {error}")),
        };
        *self.lost.entry(kind.to_owned()).or_default() += 1;
    }

    pub fn lost_calls(&self) -> u64 {
        self.lost.values().sum()
    }

    pub fn add(&mut self, more: Self) {
        self.calls += more.calls;
        for (kind, count) in more.lost {
            *self.lost.entry(kind).or_default() += count;
        }
        self.lost_writes += more.lost_writes;
        self.lost_locks += more.lost_locks;
        self.wrong.extend(more.wrong);
    }
}
