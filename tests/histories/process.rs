//! A process of workers, as the harness has it.

use std::env;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::log::{Event, Log, now};
use super::worker::Orders;

/// Gone when it is dropped.
pub struct Process {
    child: Child,
    log: Log,
}

impl Process {
    pub fn start(orders: &Orders) -> Self {
        let (name, value) = orders.variable();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "worker::works_as_it_is_told", "--nocapture"])
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log: Log::open(&orders.log, orders.process) }
    }

    /// Stops it where it stands.
    pub fn stop(&self) {
        self.log.append(now(), 0, Event::Stops);
        self.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.signal(Signal::CONT);
        self.log.append(now(), 0, Event::Continues);
    }

    /// `kill -9`. It is gone on return.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log.append(now(), 0, Event::Killed);
    }

    /// Asks it to end what it is at, and to end.
    pub fn ask_to_end(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for it to end, so long at the most.
    pub fn wait(&mut self, until: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait().unwrap() {
                None if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                status => return status,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended was waited for, so that no other process has its id.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
