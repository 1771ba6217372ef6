//! When the primary died and when another took its place, seen over plain connections: what the
//! servers need by themselves.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::Server;

/// How often the heirs are tried.
const EVERY: Duration = Duration::from_millis(2);
/// How long an heir may take to answer.
const ANSWER: Duration = Duration::from_secs(1);
const GIVE_UP: Duration = Duration::from_secs(30);

/// The instants of one death.
#[derive(Default)]
struct Instants {
    died: OnceLock<Instant>,
    promoted: OnceLock<(Instant, u16)>,
    first_success: OnceLock<Instant>,
}

pub struct Watch(Arc<Instants>);

impl Watch {
    /// Watches a primary until it dies, and then who of its heirs takes a write of a key with this
    /// tag.
    pub fn over(victim: &Server, heirs: &[&Server], tag: &str) -> Self {
        let instants = Arc::<Instants>::default();
        let (tell, victim) = (Arc::clone(&instants), TcpStream::connect(victim.addr()).unwrap());
        let heirs: Vec<_> = heirs.iter().map(|heir| heir.addr()).collect();
        let write = format!("SET {{{tag}}}:watch 1\r\n");
        thread::spawn(move || {
            // It answers nothing, since it is asked nothing: this returns when it is gone.
            let _ = (&victim).read(&mut [0]);
            let _ = tell.died.set(Instant::now());
            if let Some(promoted) = promotion(&heirs, &write) {
                let _ = tell.promoted.set(promoted);
            }
        });
        Self(instants)
    }

    pub fn died(&self) -> Option<Instant> {
        self.0.died.get().copied()
    }

    /// When an heir took a write, and its port.
    pub fn promoted(&self) -> Option<(Instant, u16)> {
        self.0.promoted.get().copied()
    }

    pub fn first_success(&self) -> Option<Instant> {
        self.0.first_success.get().copied()
    }

    /// Whether a call that began then was answered by an heir, if it was answered: no other could.
    pub fn is_after_death(&self, began: Instant) -> bool {
        self.died().is_some_and(|died| began > died)
    }

    /// A call on keys of the dead primary has just succeeded.
    pub fn succeeded(&self, began: Instant) {
        if self.is_after_death(began) {
            // An error means that there was an earlier one.
            let _ = self.0.first_success.set(Instant::now());
        }
    }
}

fn promotion(heirs: &[SocketAddr], write: &str) -> Option<(Instant, u16)> {
    let mut connections: Vec<_> = heirs.iter().map(|_| None).collect();
    let began = Instant::now();
    while began.elapsed() < GIVE_UP {
        for (heir, connection) in heirs.iter().zip(&mut connections) {
            // Sentinels cut the connections of whom they promote.
            match answer(heir, connection, write) {
                Ok(line) if line == "+OK\r\n" => return Some((Instant::now(), heir.port())),
                Ok(_) => {}
                Err(_) => *connection = None,
            }
        }
        thread::sleep(EVERY);
    }
    None
}

fn answer(
    heir: &SocketAddr,
    connection: &mut Option<BufReader<TcpStream>>,
    write: &str,
) -> io::Result<String> {
    if connection.is_none() {
        let stream = TcpStream::connect(heir)?;
        stream.set_read_timeout(Some(ANSWER))?;
        *connection = Some(BufReader::new(stream));
    }
    let Some(connection) = connection else { return Ok(String::new()) };
    connection.get_mut().write_all(write.as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    match line.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(line),
    }
}
