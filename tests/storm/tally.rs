//! What calls came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use auth_adapter_redis::Error;

/// What one worker saw, or all of them.
#[derive(Default)]
pub struct Tally {
    rows: BTreeMap<&'static str, Row>,
    wrong: Vec<String>,
}

#[derive(Default)]
struct Row {
    tried: u64,
    answered: u64,
    errors: BTreeMap<String, u64>,
    longest: Duration,
}

/// More than this of what is wrong says no more.
const ENOUGH: usize = 10;

impl Tally {
    /// Makes a call that can fail.
    pub async fn call<T, E>(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Option<T>
    where
        E: Failure,
    {
        let (answer, row) = self.timed(operation, call).await;
        match answer {
            Ok(answer) => {
                row.answered += 1;
                Some(answer)
            }
            Err(failure) => {
                *row.errors.entry(kind(failure.error())).or_default() += 1;
                None
            }
        }
    }

    /// Makes a call that never fails; its adapter counts what it swallows.
    pub async fn sure<T>(&mut self, operation: &'static str, call: impl Future<Output = T>) -> T {
        let (answer, row) = self.timed(operation, call).await;
        row.answered += 1;
        answer
    }

    async fn timed<T>(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = T>,
    ) -> (T, &mut Row) {
        let began = Instant::now();
        let answer = call.await;
        let row = self.rows.entry(operation).or_default();
        row.longest = row.longest.max(began.elapsed());
        row.tried += 1;
        (answer, row)
    }

    /// An answer that cannot be.
    pub fn is_wrong(&mut self, what: String) {
        if self.wrong.len() < ENOUGH {
            self.wrong.push(what);
        }
    }

    /// Both together.
    pub fn and(mut self, other: Self) -> Self {
        for (operation, theirs) in other.rows {
            let row = self.rows.entry(operation).or_default();
            row.tried += theirs.tried;
            row.answered += theirs.answered;
            row.longest = row.longest.max(theirs.longest);
            for (kind, count) in theirs.errors {
                *row.errors.entry(kind).or_default() += count;
            }
        }
        self.wrong.extend(other.wrong);
        self
    }

    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    pub fn longest(&self) -> Duration {
        self.rows.values().map(|row| row.longest).max().unwrap_or_default()
    }

    /// How many were answered.
    pub fn operations(&self) -> usize {
        self.rows.values().filter(|row| row.answered > 0).count()
    }
}

/// What a call can fail with.
pub trait Failure {
    fn error(&self) -> &Error;
}

impl Failure for Error {
    fn error(&self) -> &Error {
        self
    }
}

impl Failure for auth_adapter_redis::ExposedError {
    fn error(&self) -> &Error {
        &self.error
    }
}

fn kind(error: &Error) -> String {
    match error {
        Error::Unavailable(_) => "unavailable".to_owned(),
        Error::Unanswered { .. } => "unanswered".to_owned(),
        Error::Server(error) => error.code.clone(),
        other => other.to_string(),
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["operation", "tried", "answered", "longest"];
        writeln!(f, "{:24} {:>10} {:>10} {:>8}  errors", head[0], head[1], head[2], head[3])?;
        for (operation, row) in &self.rows {
            let errors: Vec<_> =
                row.errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            let longest = row.longest.as_millis();
            writeln!(
                f,
                "{operation:24} {:>10} {:>10} {longest:>5} ms  {}",
                row.tried,
                row.answered,
                errors.join(", "),
            )?;
        }
        let tried: u64 = self.rows.values().map(|row| row.tried).sum();
        write!(f, "{tried} calls, {} wrong answers", self.wrong.len())
    }
}
