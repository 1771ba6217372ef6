//! The servers and proxies of the `testing` feature, against the real server.

use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use auth_adapter_redis::testing::{
    Cluster, Data, Reply, Server, StartError, random_prefix, shared,
};

#[path = "testing/cluster.rs"]
mod cluster;
#[path = "testing/gone.rs"]
mod gone;
#[path = "testing/proxy.rs"]
mod proxy;
#[path = "testing/sentinel.rs"]
mod sentinel;
#[cfg(feature = "testing-tls")]
#[path = "testing/tls.rs"]
mod tls;

type AnyError = Box<dyn std::error::Error>;
type Outcome = Result<(), AnyError>;

/// More than anything here takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(20);
/// How long a client listens to find that it hears nothing.
const MOMENT: Duration = Duration::from_millis(100);

fn process_exists(pid: u32) -> bool {
    let kill = Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
    kill.is_ok_and(|status| status.success())
}

fn assert_gone(pid: u32, dir: &std::path::Path) {
    assert!(!process_exists(pid), "process {pid} remains");
    assert!(!dir.exists(), "{} remains", dir.display());
}

/// A client that sends and reads what it is told to, and repairs nothing.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(LONG))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn send(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, line: &str) -> io::Result<String> {
        self.send(line)?;
        self.line()
    }

    /// All that comes until the connection is closed.
    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).map(|_| rest)
    }

    /// Whether the connection is open and nothing comes.
    fn hears_nothing(&mut self) -> io::Result<bool> {
        self.0.get_ref().set_read_timeout(Some(MOMENT))?;
        let read = self.0.fill_buf().map(<[u8]>::len);
        self.0.get_ref().set_read_timeout(Some(LONG))?;
        Ok(read.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)))
    }
}

/// Sets `k` to `v` on a primary, and waits until so many replicas have it.
fn set_on_all(primary: &Server, replicas: usize) -> Outcome {
    // One connection: `WAIT` is about what its own has changed.
    let mut client = Client::connect(primary.addr())?;
    assert_eq!(client.ask("SET k v")?, "+OK");
    assert_eq!(client.ask(&format!("WAIT {replicas} 10000"))?, format!(":{replicas}"));
    Ok(())
}

#[test]
fn two_servers_at_once_are_private() -> Outcome {
    let (one, two) = (Server::start()?, Server::start()?);
    assert_ne!(one.port(), two.port());
    assert_ne!(one.pid(), two.pid());
    assert_eq!(one.command(&["SET", "k", "one"])?.text(), Some("OK"));
    assert!(two.command(&["GET", "k"])?.is_nil());
    assert_eq!(Client::connect(one.addr())?.ask("GET k")?, "$3");
    assert_eq!(one.url(), format!("redis://127.0.0.1:{}", one.port()));
    let unix_url = one.unix_url();
    UnixStream::connect(unix_url.strip_prefix("unix://").ok_or("no unix URL")?)?;
    let mode = one.dir().metadata()?.permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(one.info_field("server", "process_id"), Some(one.pid().to_string()));
    Ok(())
}

#[test]
fn many_start_at_once_and_none_remains() -> Outcome {
    let started: Vec<_> = (0..6).map(|_| thread::spawn(Server::start)).collect();
    for thread in started {
        let server = thread.join().map_err(|_| "panicked")??;
        let (pid, dir) = (server.pid(), server.dir().to_owned());
        assert!(process_exists(pid));
        drop(server);
        assert_gone(pid, &dir);
    }
    Ok(())
}

#[test]
fn options_version_and_info() -> Outcome {
    let server = Server::builder()
        .arg("--maxmemory")
        .arg("1mb")
        .args(["--cluster-enabled", "yes"])
        .start()?;
    let maxmemory = server.info_field("memory", "maxmemory");
    assert_eq!(maxmemory.as_deref(), Some("1048576"));
    assert_eq!(server.info_field("memory", "no_such_field"), None);
    let cluster = server.info_field("cluster", "cluster_enabled");
    assert_eq!(cluster.as_deref(), Some("1"));
    let (major, minor, patch) = server.version();
    let field = ["redis_version", "valkey_version"][usize::from(server.is_valkey())];
    let version = server.info_field("server", field);
    assert_eq!(version, Some(format!("{major}.{minor}.{patch}")));
    assert_eq!(server.command(&["DEBUG", "SLEEP", "0"])?.text(), Some("OK"));
    let save = server.command(&["CONFIG", "GET", "save"])?;
    assert_eq!(save.array().and_then(|pair| pair[1].text()), Some(""));
    assert!(server.log().contains("Ready to accept connections"));
    Ok(())
}

#[test]
fn a_variable_is_the_servers_alone_also_after_a_restart() -> Outcome {
    let another = Server::start()?;
    let program = another.info_field("server", "executable").ok_or("it does not tell its path")?;
    let telling = another.dir().join("telling");
    std::fs::write(
        &telling,
        format!("#!/bin/sh\necho \"OF_A_TEST=$OF_A_TEST\"\nexec '{program}' \"$@\"\n"),
    )?;
    std::fs::set_permissions(&telling, Permissions::from_mode(0o700))?;
    let server = Server::builder().binary(telling).env("OF_A_TEST", "a=b and more").start()?;
    let told = || server.log().matches("OF_A_TEST=a=b and more\n").count();
    assert_eq!(told(), 1);
    server.restart(Data::Kept)?;
    assert_eq!(told(), 2);
    assert_eq!(server.info_field("server", "process_id"), Some(server.pid().to_string()));
    assert!(std::env::var_os("OF_A_TEST").is_none());
    Ok(())
}

#[test]
fn commands_scripts_and_their_counts() -> Outcome {
    let server = Server::start()?;
    let loaded = server.command(&["SCRIPT", "LOAD", "return {1, redis.call('GET', 'k')}"])?;
    let sha = loaded.text().ok_or("no SHA")?;
    let reply = server.command(&["EVALSHA", sha, "0"])?;
    assert_eq!(reply, Reply::Array(vec![Reply::Int(1), Reply::Nil]));
    assert_eq!(server.command_calls("evalsha"), 1);
    assert_eq!(server.command_calls("GET"), 1);
    assert_eq!(server.command_calls("hset"), 0);
    server.flush_scripts()?;
    let reply = server.command(&["EVALSHA", sha, "0"])?;
    let error = reply.error().ok_or("no error")?;
    assert!(reply.is_error() && error.starts_with("NOSCRIPT"), "{error}");
    let binary: [&[u8]; 3] = [b"SET", b"b", b"\x00\xff\r\n"];
    assert_eq!(server.command(&binary)?.text(), Some("OK"));
    let value = server.command(&["GET", "b"])?;
    assert_eq!((value.bytes(), value.text()), (Some(binary[2]), None));
    Ok(())
}

#[test]
fn the_shared_server_is_one() -> Outcome {
    assert_eq!(shared().pid(), shared().pid());
    let (one, two) = (random_prefix(), random_prefix());
    assert_ne!(one, two);
    let digits = one.strip_prefix('t').and_then(|rest| rest.strip_suffix(':'));
    let digits = digits.ok_or("not t...:")?;
    assert!(digits.len() == 12 && digits.chars().all(|digit| digit.is_ascii_hexdigit()));
    Ok(())
}

#[test]
fn killed_restarted_and_dropped_while_down() -> Outcome {
    for data in [Data::Kept, Data::Lost] {
        let server = Server::builder().args(["--appendonly", "yes"]).start()?;
        let (pid, port) = (server.pid(), server.port());
        server.command(&["SET", "k", "v"])?;
        server.kill()?;
        server.kill()?;
        assert!(!process_exists(pid) && server.dir().exists());
        assert!(server.command(&["PING"]).is_err());
        assert!(Client::connect(server.addr()).is_err());
        assert!(server.pause().is_err() && server.resume().is_err());
        server.restart(data)?;
        assert_eq!(server.port(), port);
        assert_ne!(server.pid(), pid);
        let kept = server.command(&["GET", "k"])?;
        assert_eq!(kept.text(), (data == Data::Kept).then_some("v"));
        assert_eq!(Client::connect(server.addr())?.ask("PING")?, "+PONG");
        server.restart(data)?;
        server.kill()?;
        let (pid, dir) = (server.pid(), server.dir().to_owned());
        drop(server);
        assert_gone(pid, &dir);
    }
    Ok(())
}

#[test]
fn saved_data_survives_and_loading_can_be_seen() -> Outcome {
    // A server that loads looks at its connections every two megabytes: once per key here.
    let server = Server::builder()
        .args(["--rdbcompression", "no"])
        .args(["--key-load-delay", "50000"])
        .wait_until_ready(false)
        .start()?;
    for key in 0..30 {
        server.command(&["SETRANGE", &key.to_string(), "2200000", "x"])?;
    }
    assert_eq!(server.command(&["SAVE"])?.text(), Some("OK"));
    server.restart(Data::Kept)?;
    let reply = server.command(&["GET", "1"])?;
    let error = reply.error().ok_or("it is not loading")?;
    assert!(error.starts_with("LOADING"), "{error}");
    Ok(())
}

#[test]
fn a_port_taken_meanwhile_is_told() -> Outcome {
    let server = Server::start()?;
    server.kill()?;
    let taken = TcpListener::bind(server.addr())?;
    let error = server.restart(Data::Lost).expect_err("it cannot listen");
    assert!(error.to_string().contains("in use"), "{error}");
    drop(taken);
    server.restart(Data::Lost)?;
    assert_eq!(server.command(&["PING"])?.text(), Some("PONG"));
    Ok(())
}

#[test]
fn paused_and_resumed() -> Outcome {
    let server = Server::start()?;
    let mut client = Client::connect(server.addr())?;
    server.pause()?;
    client.send("PING")?;
    assert!(client.hears_nothing()?);
    server.resume()?;
    assert_eq!(client.line()?, "+PONG");
    server.pause()?;
    let (pid, dir) = (server.pid(), server.dir().to_owned());
    drop(server);
    assert_gone(pid, &dir);
    Ok(())
}

#[test]
fn users_of_an_acl_file_may_what_it_says_and_stay_after_a_loss() -> Outcome {
    let server = Server::builder().acl("user app on >secret ~app:* +get +set").start()?;
    for data in [Data::Kept, Data::Lost] {
        let mut client = Client::connect(server.addr())?;
        assert_eq!(client.ask("SET any v")?, "+OK", "the default user is as it was");
        assert_eq!(client.ask("AUTH app secret")?, "+OK");
        assert_eq!(client.ask("SET app:k v")?, "+OK");
        for refused in ["SET k v", "DEL app:k"] {
            let answer = client.ask(refused)?;
            assert!(answer.starts_with("-NOPERM"), "{refused}: {answer}");
        }
        assert_eq!(server.command(&["GET", "app:k"])?.text(), Some("v"));
        server.restart(data)?;
    }
    let cluster =
        Cluster::builder().primaries(1).replicas_each(0).acl("user app on nopass").start()?;
    assert_eq!(Client::connect(cluster.nodes()[0].addr())?.ask("AUTH app x")?, "+OK");
    let error = Server::builder().acl("user app no-such-rule").start();
    let error = error.expect_err("it cannot start").to_string();
    assert!(error.contains("users.acl:1"), "{error}");
    Ok(())
}

#[test]
fn without_a_program_one_line_says_how_to_get_one() {
    let error = Server::builder().binary("/no/such/server").start();
    let error = error.expect_err("it cannot start").to_string();
    for part in ["/no/such/server", "REDIS_SERVER_BIN", "apt-get install", "brew", "make server"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert_eq!(error.lines().count(), 1);
    let not_a_server = Server::builder().binary("/bin/ls").start();
    assert!(matches!(not_a_server, Err(StartError::NotAServer { .. })));
}

#[test]
fn a_failed_start_tells_the_last_words() {
    let error = Server::builder().arg("--no-such-option").arg("1").start();
    let error = error.expect_err("it cannot start");
    assert!(matches!(error, StartError::Ended { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-option"), "{error}");
}
