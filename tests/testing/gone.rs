//! That nothing remains of a server or a group, however its test ends.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use auth_adapter_redis::testing::{Cluster, SentinelGroup, Server, shared};

use super::{LONG, Outcome, assert_gone};

#[test]
fn gone_also_without_its_watchdog() -> Outcome {
    let server = Server::start()?;
    let pid = server.pid().to_string();
    let parent = Command::new("ps").args(["-o", "ppid=", "-p", &pid]).output()?;
    let parent = String::from_utf8(parent.stdout)?;
    let kill = Command::new("kill").args(["-9", parent.trim()]).status()?;
    assert!(kill.success());
    let (addr, dir) = (server.addr(), server.dir().to_owned());
    drop(server);
    assert!(TcpStream::connect(addr).is_err() && !dir.exists());
    Ok(())
}

#[test]
fn gone_after_a_panic() -> Outcome {
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let server = Server::start().expect("it starts");
        tell.send((server.pid(), server.dir().to_owned())).ok();
        panic!("as intended");
    });
    let (pid, dir) = told.recv()?;
    assert!(thread.join().is_err());
    assert_gone(pid, &dir);
    Ok(())
}

const HELPER: &str = "TESTING_HELPER";

/// Run by the next test as a process of its own, and by CI, to see what a failing run leaves.
#[test]
fn helper_with_a_server() -> Outcome {
    let own = Server::start()?;
    let Some(how) = std::env::var_os(HELPER) else {
        return Ok(());
    };
    let cluster = (how == "cluster").then(Cluster::start).transpose()?;
    let group = (how == "sentinel").then(SentinelGroup::start).transpose()?;
    let mut servers = vec![if how == "shared" || how == "fails" { shared() } else { &own }];
    servers.extend(cluster.iter().flat_map(Cluster::nodes));
    servers.extend(group.iter().flat_map(|group| group.servers().iter().chain(group.sentinels())));
    if how == "paused" {
        own.pause()?;
    }
    let told: Vec<_> = servers
        .iter()
        .map(|server| format!("{} {}", server.pid(), server.dir().display()))
        .collect();
    println!("\n<{}>", told.join(" "));
    io::stdin().read_to_end(&mut Vec::new())?;
    assert_ne!(how, "fails", "as it was told to");
    Ok(())
}

#[test]
fn gone_after_the_test_process_is_killed_or_ends() -> Outcome {
    for (how, count) in [
        ("running", 1),
        ("paused", 1),
        ("shared", 1),
        ("fails", 1),
        ("cluster", 7),
        ("sentinel", 7),
    ] {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "gone::helper_with_a_server", "--nocapture"])
            .env(HELPER, how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        while !line.starts_with('<') {
            line.clear();
            assert_ne!(output.read_line(&mut line)?, 0, "it ended");
        }
        let told: Vec<_> = line.trim().trim_matches(['<', '>']).split(' ').collect();
        let mut servers = Vec::new();
        for told in told.chunks_exact(2) {
            let (pid, dir): (u32, PathBuf) = (told[0].parse()?, told[1].into());
            let connection = UnixStream::connect(dir.join("server.sock"))?;
            servers.push((pid, dir, connection));
        }
        assert_eq!(servers.len(), count);
        if how == "shared" || how == "fails" {
            // Nothing drops this one: the end of the process is all that ends it.
            drop(child.stdin.take());
        } else {
            child.kill()?;
        }
        assert_eq!(child.wait()?.success(), how == "shared");
        for (pid, dir, connection) in servers {
            // The system closes the connection when the server has ended, ...
            connection.set_read_timeout(Some(LONG))?;
            match (&connection).read(&mut [0]) {
                Ok(count) => assert_eq!(count, 0),
                // A paused one had not accepted it.
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
            // ... and what the watchdog does then, nothing here can wait for.
            let since = Instant::now();
            while dir.exists() && since.elapsed() < LONG {
                thread::yield_now();
            }
            assert_gone(pid, &dir);
        }
    }
    Ok(())
}

#[test]
fn groups_are_gone_when_dropped() -> Outcome {
    let cluster = Cluster::start()?;
    let group = SentinelGroup::start()?;
    cluster.nodes()[0].kill()?;
    group.sentinels()[0].pause()?;
    let servers = cluster.nodes().iter().chain(group.servers()).chain(group.sentinels());
    let all: Vec<_> = servers.map(|server| (server.pid(), server.dir().to_owned())).collect();
    assert_eq!(all.len(), 12);
    drop((cluster, group));
    for (pid, dir) in all {
        assert_gone(pid, &dir);
    }
    Ok(())
}
