//! What a cached key may hold, when one task alone writes and reads it.

use auth_adapter_redis::Error;

/// What became of a write.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Acknowledged,
    /// Sent and not answered: it may have been executed.
    Open,
    /// Answered with an error that says it was not executed.
    Refused,
}

/// Rising numbers at one key.
pub struct Numbers {
    task: usize,
    /// By number. None is below the first write: the key's absence.
    fates: Vec<Fate>,
    /// The last number that was acknowledged or read.
    last: usize,
    /// Whether the heir has answered: what it does not have by then is lost, and nothing more can be.
    on_heir: bool,
}

impl Numbers {
    pub fn new(task: usize) -> Self {
        Self { task, fates: vec![Fate::Acknowledged], last: 0, on_heir: false }
    }

    /// The value to write next.
    pub fn next(&self) -> String {
        format!("{}:{}", self.task, self.fates.len())
    }

    /// That value was written, or not.
    pub fn written(&mut self, outcome: Result<(), &Error>) {
        self.fates.push(match outcome {
            Ok(()) => Fate::Acknowledged,
            Err(error) if error.may_have_executed() => Fate::Open,
            Err(_) => Fate::Refused,
        });
        if outcome.is_ok() {
            self.last = self.fates.len() - 1;
        }
    }

    /// How many acknowledged writes are lost by what was read. `after_death` says whether the heir was
    /// asked.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    pub fn read(&mut self, value: Option<&str>, after_death: bool) -> Result<u64, String> {
        let task = self.task;
        let number = match value.map(|value| value.split_once(':')) {
            None => 0,
            Some(Some((writer, number))) if writer == task.to_string() => {
                number.parse().map_err(|_| format!("task {task} read {value:?}"))?
            }
            Some(_) => return Err(format!("task {task} read another's {value:?}")),
        };
        match self.fates.get(number) {
            None => return Err(format!("task {task} read {number}, which nobody wrote")),
            Some(Fate::Refused) => {
                return Err(format!("task {task} read {number}, refused before"));
            }
            Some(_) => {}
        }
        let last = std::mem::replace(&mut self.last, number);
        let may_lose = after_death && !self.on_heir;
        self.on_heir |= after_death;
        if number >= last {
            return Ok(0);
        }
        if !may_lose {
            return Err(format!("task {task} read {number} after {last}"));
        }
        let gone = self.fates[number + 1..=last].iter();
        Ok(gone.filter(|&&fate| fate == Fate::Acknowledged).count() as u64)
    }
}
