//! The log that all processes of a storm append to, and the clock that they share.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// An instant of a clock that all processes of this machine share and nobody sets: the time since boot.
pub fn now() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let now = clock_gettime(CLOCK);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// An instant as people are told it: the milliseconds since boot.
pub fn ms(at: Duration) -> String {
    format!("{:.3}", at.as_secs_f64() * 1000.0)
}

/// One line: what happened to an attempt of a process to take a lock, or to that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Duration,
    pub process: u64,
    pub attempt: u64,
    pub event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// About to wait for the lock, so many milliseconds at the most.
    Wants { lock: usize, patience: u64 },
    /// It waits no more, and has nothing.
    Leaves(Leaving),
    /// It has a guard by now.
    Has { fence: u64 },
    /// At this instant its guard was about to be asked, and said held.
    Held,
    /// About to read the register, and to write this.
    Updates { to: u64 },
    /// What it read. From now on the write can be on its way.
    Read { from: u64 },
    /// What is known of the write by now.
    Wrote(Wrote),
    /// The harness is about to stop the process.
    Stops,
    /// It has let it go on.
    Continues,
    /// It has killed it.
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Another held the lock, to the last.
    Held,
    /// The call failed.
    Failed,
    /// It had enough, and dropped the future.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    Set,
    /// A newer fence was there.
    Refused,
    Unknown,
    /// It was never sent.
    Nothing,
}

/// Each event is one write, so that nothing comes between the bytes of a line.
pub struct Log {
    file: File,
    process: u64,
}

impl Log {
    pub fn open(path: &Path, process: u64) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Self { file: file.expect("the log can be opened"), process }
    }

    pub fn append(&self, at: Duration, attempt: u64, event: Event) {
        let line = Line { at, process: self.process, attempt, event };
        (&self.file).write_all(format!("{line}\n").as_bytes()).expect("the log can be written");
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.at.as_nanos(), self.process, self.attempt)?;
        match self.event {
            Event::Wants { lock, patience } => write!(f, "wants {lock} {patience}"),
            Event::Leaves(why) => write!(f, "leaves {}", why.word()),
            Event::Has { fence } => write!(f, "has {fence}"),
            Event::Held => write!(f, "held"),
            Event::Updates { to } => write!(f, "updates {to}"),
            Event::Read { from } => write!(f, "read {from}"),
            Event::Wrote(outcome) => write!(f, "wrote {}", outcome.word()),
            Event::Stops => write!(f, "stops"),
            Event::Continues => write!(f, "continues"),
            Event::Killed => write!(f, "killed"),
        }
    }
}

impl Line {
    /// Reads a line as it was written.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        let event = match *words.get(3)? {
            "wants" => Event::Wants { lock: number(4)? as usize, patience: number(5)? },
            "leaves" => Event::Leaves(Leaving::of(words.get(4)?)?),
            "has" => Event::Has { fence: number(4)? },
            "held" => Event::Held,
            "updates" => Event::Updates { to: number(4)? },
            "read" => Event::Read { from: number(4)? },
            "wrote" => Event::Wrote(Wrote::of(words.get(4)?)?),
            "stops" => Event::Stops,
            "continues" => Event::Continues,
            "killed" => Event::Killed,
            _ => return None,
        };
        let at = Duration::from_nanos(number(0)?);
        Some(Self { at, process: number(1)?, attempt: number(2)?, event })
    }
}

impl Leaving {
    const ALL: [Self; 3] = [Self::Held, Self::Failed, Self::Dropped];

    fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.word() == word)
    }
}

impl Wrote {
    const ALL: [Self; 4] = [Self::Set, Self::Refused, Self::Unknown, Self::Nothing];

    fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Nothing => "nothing",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}
