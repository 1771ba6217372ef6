//! Another client of the server, which keeps its connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use auth_adapter_redis::testing::Server;

pub struct Stranger(BufReader<TcpStream>);

impl Stranger {
    pub fn of(server: &Server) -> Self {
        Self(BufReader::new(TcpStream::connect(server.addr()).unwrap()))
    }

    /// Sends a command and waits for nothing. The server may have closed the connection.
    pub fn send(&mut self, command: &str) {
        let _closed = self.0.get_mut().write_all(format!("{command}\r\n").as_bytes());
    }

    /// The first line of the reply to a command.
    pub fn ask(&mut self, command: &str) -> String {
        self.send(command);
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}
