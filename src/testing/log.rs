//! What a server prints, kept, and how far that says it has come.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// No test reads more than this, and a server told to log everything must not fill the memory.
const KEPT_LINES: usize = 20_000;

/// The lines a server printed over all its restarts.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: Mutex<VecDeque<String>>,
}

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        self.last(KEPT_LINES)
    }

    /// The last lines of it.
    pub(super) fn last(&self, count: usize) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.len().saturating_sub(count);
        let mut text = String::new();
        for line in lines.iter().skip(skipped) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// How far one process of a server has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The process, once the watchdog has told it.
    pub(super) pid: Option<i32>,
    /// It accepts connections, though it may still be loading its data.
    pub(super) accepting: bool,
    /// It has loaded its data and answers.
    pub(super) ready: bool,
    /// Nothing prints any more: the process is gone.
    pub(super) ended: bool,
    /// It said that its port is another's.
    pub(super) port_taken: bool,
}

/// [`Progress`] that can be waited for.
#[derive(Debug, Default)]
pub(super) struct Watched {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Watched {
    /// Reads what is printed, to its end, in a thread of its own.
    pub(super) fn read(output: impl Read + Send + 'static, log: Arc<Log>) -> Arc<Self> {
        let watched = Arc::new(Self::default());
        let theirs = Arc::clone(&watched);
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                // Kept before it is told, so that whoever waited for a line finds it in the log.
                log.push(text.clone());
                theirs.update(|progress| note(progress, &text));
                line.clear();
            }
            theirs.update(|progress| progress.ended = true);
        });
        watched
    }

    /// How far it is now.
    pub(super) fn now(&self) -> Progress {
        *self.lock()
    }

    /// Waits until it has come so far, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant, so_far: impl Fn(&Progress) -> bool) -> Progress {
        let left = deadline.saturating_duration_since(Instant::now());
        *self
            .changed
            .wait_timeout_while(self.lock(), left, |progress| !so_far(progress))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watchdog prefixes what it says itself with this.
pub(super) const PID_LINE: &str = "watchdog: pid ";

fn note(progress: &mut Progress, line: &str) {
    if let Some(pid) = line.strip_prefix(PID_LINE) {
        progress.pid = pid.parse().ok();
    } else if line.contains("Ready to accept connections") || line.contains("Sentinel ID is") {
        // The second is a Sentinel's, said at the same point.
        progress.accepting = true;
        progress.ready = true;
    } else if line.contains("Server initialized") {
        // Said once the listeners are open and before the data is loaded.
        progress.accepting = true;
    } else if line.contains("in use") && !progress.accepting {
        progress.port_taken = true;
    }
}
