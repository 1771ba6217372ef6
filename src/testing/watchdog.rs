//! The small process that starts a server and outlives everything to end it.
//!
//! A test process killed with `kill -9` runs no more code, so something else has to stop its
//! servers. Every server therefore is the child of a shell that waits for the end of a pipe whose
//! other end only the test process holds: it is told to end the server by that process's end,
//! whatever its cause. The shell is in a process group of its own, with the server, so that a
//! Ctrl-C on the terminal goes to the test process alone, and it ignores the signals that could
//! make it end before the server (SIGHUP among them: the system sends it to a group whose parent
//! went away while a member was stopped, which is a paused server whose test was killed).

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::log::{Log, PID_LINE, Progress, Watched};

/// The shell's program; its arguments are the private directory and the server's command line.
///
/// It starts the server only when told `go`, so that there can be a watchdog for the directory
/// while there is no server. The server is its child and stays unreaped until the shell itself
/// waits for it: its process id cannot become another's before. Once the server runs, the shell
/// lets go of the output, so that the output ends when the server does. A `USR1` ends a child that
/// the server may have forked to save its data.
const SCRIPT: &str = r#"
exec 2>&1
trap '' HUP INT QUIT TERM USR1 PIPE
dir=$1
shift
pid=
if read -r word && [ "$word" = go ]; then
    "$@" </dev/null &
    pid=$!
    echo "PID_LINE$pid"
    word=
    exec >/dev/null 2>&1
    read -r word
fi
if [ -n "$pid" ]; then
    kill -9 "$pid"
    wait "$pid"
    kill -USR1 0
fi
if [ "$word" != keep ]; then
    rm -rf -- "$dir" || rm -rf -- "$dir"
fi
exit 0
"#;

/// A killed process is gone at once; a child it forked may hold its output a little longer.
const ORPHAN_GONE_WITHIN: Duration = Duration::from_secs(5);

/// A watchdog, and the server it watches once told to start it.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    /// Taken when the end is told, which happens by closing it.
    pipe: Option<ChildStdin>,
    watched: Arc<Watched>,
}

impl Watchdog {
    /// A watchdog that guards the directory and has not started the server yet.
    pub(super) fn guard(dir: &Path, command: &[OsString], log: &Arc<Log>) -> io::Result<Self> {
        // One at a time: where a pipe cannot be made close-on-exec in one step, a shell started
        // meanwhile by another thread would inherit this one's.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT.replace("PID_LINE", PID_LINE))
            .arg("watchdog")
            .arg(dir)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Not the test's own: whoever reads that to its end would wait for the server.
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        let output = shell.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { shell, pipe, watched: Watched::read(output, Arc::clone(log)) })
    }

    /// Starts the server.
    pub(super) fn go(&mut self) -> io::Result<()> {
        self.tell("go\n")
    }

    /// How far the server has come.
    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Sends the server a signal.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.running_pid() {
            Some(pid) => Ok(kill_process(pid, signal)?),
            None => Err(not_running()),
        }
    }

    /// Ends the server and this watchdog, and leaves the directory as it is.
    pub(super) fn end_but_keep_dir(mut self) {
        // An error means that the shell is gone, which `finish` sees to.
        let _gone = self.tell("keep\n");
        self.finish();
    }

    fn tell(&mut self, word: &str) -> io::Result<()> {
        let pipe = self.pipe.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        pipe.write_all(word.as_bytes())
    }

    fn running_pid(&self) -> Option<Pid> {
        match self.watched.now() {
            Progress { pid: Some(pid), ended: false, .. } => Pid::from_raw(pid),
            _ => None,
        }
    }

    /// Closes the pipe and waits until the server and the shell are gone.
    fn finish(&mut self) {
        if self.pipe.take().is_none() {
            return;
        }
        let shell_finished = self.shell.wait().is_ok_and(|status| status.success());
        if !shell_finished {
            // Somebody killed the shell, so nobody has ended the server.
            if let Some(pid) = self.running_pid() {
                let _gone = kill_process(pid, Signal::KILL);
                self.watched.wait(Instant::now() + ORPHAN_GONE_WITHIN, |progress| progress.ended);
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The error for what only a running server can do.
pub(super) fn not_running() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the server is not running")
}
