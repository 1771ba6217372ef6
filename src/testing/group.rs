//! What groups of servers have in common: they start at once, and are asked until they agree.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use super::launch::Launch;
use super::server::Refused;
use super::{Reply, Server, StartError};

/// Much more than a group needs to agree, also on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// No server tells when it has heard of something, so it is asked this often.
const ASKED_EVERY: Duration = Duration::from_millis(5);
const LAST_WORDS: usize = 5;

/// Starts servers at the same time, each on its port.
pub(super) fn start_all(launches: &[(Launch, u16)]) -> Result<Vec<Server>, Refused> {
    thread::scope(|scope| {
        let starting: Vec<_> = launches
            .iter()
            .map(|(launch, port)| scope.spawn(move || Server::start_at(launch, *port)))
            .collect();
        // All are waited for, so that a port that was taken is told before what it led to.
        let ended =
            starting.into_iter().map(|thread| thread.join().unwrap_or_else(|p| resume_unwind(p)));
        let (started, refused): (Vec<_>, Vec<_>) = ended.partition(Result::is_ok);
        match refused.into_iter().filter_map(Result::err).max_by_key(|refused| refused.port_taken) {
            Some(refused) => Err(refused),
            None => Ok(started.into_iter().flatten().collect()),
        }
    })
}

/// Asks until the answer is there, at most so long; `Err` says what is still lacking.
pub(super) fn ask_until<T>(
    within: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> io::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(lacking) if Instant::now() >= deadline => {
                let text = format!("not within {within:?}: {lacking}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err(_) => thread::sleep(ASKED_EVERY),
        }
    }
}

/// Waits until a group that was just started is ready.
pub(super) fn wait_until_ready(
    servers: &[Server],
    ready: impl FnMut() -> Result<(), String>,
) -> Result<(), StartError> {
    ask_until(READY_WITHIN, ready).map_err(|error| {
        let mut log = format!("{error}\n");
        for server in servers {
            log.push_str(&format!("port {}:\n{}", server.port(), server.last_words(LAST_WORDS)));
        }
        StartError::TimedOut { waited: READY_WITHIN, log }
    })
}

/// Whether every replica among the servers that run has all that its primary has.
pub(super) fn replicas_in_sync(servers: &[Server]) -> Result<(), String> {
    for server in servers.iter().filter(|server| server.answers()) {
        let Some(link) = replication(server, "master_link_status")? else { continue };
        let primary = replication(server, "master_port")?;
        let primary = servers.iter().find(|other| Some(other.port().to_string()) == primary);
        let sent = match primary.filter(|primary| primary.answers()) {
            Some(primary) => offset(primary, "master_repl_offset")?,
            None => 0,
        };
        if link != "up" || offset(server, "slave_repl_offset")? < sent {
            return Err(format!("port {} is not in sync", server.port()));
        }
    }
    Ok(())
}

/// Has the primaries among these servers, which are empty, change something, and waits until all
/// replicas have it: their link may be up for a second before a primary sends them anything.
pub(super) fn open_streams(servers: &[Server]) -> Result<(), StartError> {
    for server in servers {
        if replication(server, "role").is_ok_and(|role| role.as_deref() == Some("master")) {
            let changed = server.command(&["FLUSHALL"]).and_then(Reply::or_refused);
            changed.map_err(StartError::io("write to a primary"))?;
        }
    }
    wait_until_ready(servers, || replicas_in_sync(servers))
}

fn offset(server: &Server, name: &str) -> Result<i64, String> {
    let offset = replication(server, name)?.and_then(|offset| offset.parse().ok());
    offset.ok_or_else(|| format!("port {} does not tell its {name}", server.port()))
}

/// A field of `INFO replication`, of a server that may have been killed a moment ago.
pub(super) fn replication(server: &Server, name: &str) -> Result<Option<String>, String> {
    let info = server.command(&["INFO", "replication"]).and_then(Reply::or_refused);
    let info = info.map_err(|error| error.to_string())?;
    let mut fields =
        info.text().unwrap_or_default().lines().filter_map(|line| line.split_once(':'));
    Ok(fields.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned()))
}

/// Calls of a command over the servers that run and say they are primaries: a replica counts its
/// primary's changes as calls too.
pub(super) fn calls_on_primaries(servers: &[Server], name: &str) -> u64 {
    servers
        .iter()
        .filter(|server| server.answers())
        .filter(|server| server.info_field("replication", "role").as_deref() == Some("master"))
        .map(|server| server.command_calls(name))
        .sum()
}

/// Makes the servers that run forget their scripts.
pub(super) fn flush_scripts(servers: &[Server]) -> io::Result<()> {
    servers.iter().filter(|server| server.answers()).try_for_each(Server::flush_scripts)
}

/// An error of whoever called, such as a server that is of another group.
pub(super) fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::binary::Binary;
    use super::super::ports::{TO_BUS, several};
    use super::{Launch, start_all};

    #[test]
    fn a_port_or_a_bus_port_that_was_taken_is_told_as_such() {
        let mut launch = Launch::new(Binary::find(None).expect("there is a server"));
        launch.set("--cluster-enabled", "yes");
        for above in [0, TO_BUS] {
            let ports = several(2, true).expect("there are free ports");
            let taken = TcpListener::bind(("127.0.0.1", ports[1] + above)).expect("it is free");
            let launches: Vec<_> = ports.iter().map(|port| (launch.clone(), *port)).collect();
            let refused = start_all(&launches).expect_err("one cannot start");
            assert!(refused.port_taken, "{}", refused.error);
            drop(taken);
        }
    }
}
