//! Whether the primaries that are well answered at all: at a vote each of them writes its configuration
//! to the disk and waits for that, longer than a call may take where the disk is busy.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::Server;

const EVERY: Duration = Duration::from_millis(5);

/// Asks over plain connections, again and again.
pub struct Witness {
    asking: Vec<JoinHandle<io::Result<Duration>>>,
    ends: Arc<AtomicBool>,
}

impl Witness {
    pub fn of(servers: &[&Server]) -> Self {
        let ends = Arc::<AtomicBool>::default();
        let asking = servers.iter().map(|server| {
            let (addr, ends) = (server.addr(), Arc::clone(&ends));
            thread::spawn(move || ask(addr, &ends))
        });
        Self { asking: asking.collect(), ends }
    }

    /// The slowest answer of all. A pause of this process counts, which delays every call as well.
    pub fn slowest(mut self) -> Duration {
        self.ends.store(true, Ordering::Relaxed);
        let asked = self.asking.drain(..).map(|asking| asking.join().unwrap().unwrap());
        asked.max().unwrap_or_default()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn ask(addr: SocketAddr, ends: &AtomicBool) -> io::Result<Duration> {
    let mut connection = BufReader::new(TcpStream::connect(addr)?);
    let mut slowest = Duration::ZERO;
    let mut line = String::new();
    let mut last = Instant::now();
    while !ends.load(Ordering::Relaxed) {
        connection.get_mut().write_all(b"PING\r\n")?;
        connection.read_line(&mut line)?;
        slowest = slowest.max(last.elapsed().saturating_sub(EVERY));
        last = Instant::now();
        line.clear();
        thread::sleep(EVERY);
    }
    Ok(slowest)
}
