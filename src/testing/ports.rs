//! Free loopback ports.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Ports are drawn from here: below what systems give out by themselves to outgoing connections
/// and to listeners that ask for any port, so that a server or a proxy that gives its port up for
/// a while can have it back; and low enough that a cluster node's second port, 10000 above, is
/// free of those too.
const RANGE: std::ops::Range<u16> = 10_240..22_768;

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
