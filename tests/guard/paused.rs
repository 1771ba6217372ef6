//! A process that stands still past its lease knows that it was, in the moment after.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use auth_adapter_redis::guard::LockLost;
use rustix::process::{Pid, Signal, kill_process};

use super::*;

const URL: &str = "GUARD_OF_A_PAUSED_PROCESS";
const TTL: Duration = Duration::from_secs(2);

/// The process that is paused: it takes the lock, and says what it thinks of it when asked.
#[tokio::main(flavor = "current_thread")]
async fn child(url: &str) {
    let redis = Redis::builder().url(url).call_deadline(LONG).build().unwrap();
    redis.connected().await;
    let guard = taken(&Locks::new(redis).with_renewal(), TTL).await;
    let work = async {
        println!("held {}", !guard.is_lost());
        // Blocks, so that no timer and no renewal gets on before the guard is asked.
        std::io::stdin().lines().next().unwrap().unwrap();
        println!("lost {}", guard.is_lost());
        tokio::task::yield_now().await;
        println!("the next step of the work");
    };
    let stopped = guard.run(work).await == Err(LockLost);
    println!("stopped {stopped}");
}

#[test]
fn the_guard_is_lost_at_once() {
    if let Ok(url) = env::var(URL) {
        return child(&url);
    }
    let server = own();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "paused::the_guard_is_lost_at_once", "--nocapture"])
        .env(URL, server.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut says = |what: &str| {
        let is_ours = |line: &String| {
            ["held ", "lost ", "stopped ", "the next "].iter().any(|word| line.contains(word))
        };
        let line = lines.by_ref().find(is_ours).expect("it says something");
        assert!(line.ends_with(what), "{line:?}, not {what:?}");
    };
    says("held true");
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    while server.command(&["EXISTS", "lock"]).unwrap().int() == Some(1) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    says("lost true");
    says("stopped true");
    assert!(child.wait().unwrap().success());
}
