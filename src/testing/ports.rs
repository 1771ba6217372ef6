//! Free loopback ports.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::StartError;
use super::server::Refused;

/// Ports are drawn from here: below what systems give out by themselves to outgoing connections
/// and to listeners that ask for any port, so that a server or a proxy that gives its port up for
/// a while can have it back; and low enough that a cluster node's second port, 10000 above, is
/// free of those too.
const RANGE: std::ops::Range<u16> = 10_240..22_768;

/// How often ports are chosen, should others take them first.
const TRIED: usize = 10;

/// Starts what needs ports that were free a moment ago, again with others if they were taken.
pub(super) fn retried<T>(start: impl Fn() -> Result<T, Refused>) -> Result<T, StartError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match start() {
            Ok(started) => return Ok(started),
            Err(Refused { port_taken: true, .. }) if tried < TRIED => {}
            Err(Refused { error, .. }) => return Err(error),
        }
    }
}

/// Listens on a free loopback port.
pub(super) fn listen_somewhere() -> io::Result<TcpListener> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..100 {
        let port = RANGE.start + (super::random::<2>()? % RANGE.len() as u64) as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A port that was free a moment ago.
pub(super) fn free() -> io::Result<u16> {
    Ok(listen_somewhere()?.local_addr()?.port())
}

/// How far a cluster node's second port, the bus, is above its first.
pub(super) const TO_BUS: u16 = 10_000;

/// Ports that were free a moment ago, no two the same, and if asked for their bus ports as well.
pub(super) fn several(count: usize, with_bus: bool) -> io::Result<Vec<u16>> {
    // All are held until the last is found.
    let mut held = Vec::new();
    let mut tries = 0..100 + 2 * count;
    while held.len() < count {
        tries.next().ok_or(io::ErrorKind::AddrInUse)?;
        let listener = listen_somewhere()?;
        let port = listener.local_addr()?.port();
        let bus = with_bus.then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port + TO_BUS)));
        match bus.transpose() {
            Ok(bus) => held.push((port, listener, bus)),
            Err(_taken) => {}
        }
    }
    Ok(held.into_iter().map(|(port, ..)| port).collect())
}
