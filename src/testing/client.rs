//! One command over a connection of its own, for control and assertions.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Reply;

/// Connects, sends some commands that must not be refused and then the one that is meant, and reads
/// the reply to that, all within the time-out.
pub(super) fn call(
    socket: &Path,
    first: &[&[&str]],
    words: &[impl AsRef<[u8]>],
    time_out: Duration,
) -> io::Result<Reply> {
    let stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(time_out))?;
    let mut request = Vec::new();
    for words in first {
        write_command(&mut request, words);
    }
    write_command(&mut request, words);
    (&stream).write_all(&request)?;
    let deadline = Instant::now() + time_out;
    let mut replies = BufReader::new(ReadUntil { stream, deadline });
    for _ in first {
        Reply::read(&mut replies)?.or_refused()?;
    }
    Reply::read(&mut replies)
}

fn write_command(request: &mut Vec<u8>, words: &[impl AsRef<[u8]>]) {
    request.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
}

/// Reads that share one deadline, since a slow server may answer a little at a time.
struct ReadUntil {
    stream: UnixStream,
    deadline: Instant,
}

impl Read for ReadUntil {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::TimedOut.into())
            }
            result => result,
        }
    }
}
