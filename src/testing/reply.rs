//! A server's replies, and how they are read.

use std::io::{self, BufRead};

/// What a server answered.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::{Reply, Server};
///
/// let server = Server::start()?;
/// assert_eq!(server.command(&["INCR", "n"])?.int(), Some(1));
/// assert_eq!(server.command(&["GET", "n"])?.text(), Some("1"));
/// assert_eq!(server.command(&["GET", "nothing"])?, Reply::Nil);
/// assert!(server.command(&["LPUSH", "n", "x"])?.is_error());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: a missing key, or a missing array.
    Nil,
    /// A number.
    Int(i64),
    /// A status such as `OK`.
    Status(String),
    /// A value.
    Bytes(Vec<u8>),
    /// An error, with its code as the first word.
    Error(String),
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// The number, if it is one.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The text of a status or of a value that is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Status(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of a value.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The replies of an array.
    pub fn array(&self) -> Option<&[Reply]> {
        match self {
            Self::Array(replies) => Some(replies),
            _ => None,
        }
    }

    /// The text of an error.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Whether it is nothing.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// An error reply as an error, for what must not be refused.
    pub(super) fn or_refused(self) -> io::Result<Self> {
        match self {
            Self::Error(text) => Err(io::Error::other(text)),
            reply => Ok(reply),
        }
    }

    /// Reads one reply of the second version of the protocol.
    pub(super) fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let line = read_line(input)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(malformed)?;
        Ok(match kind {
            "+" => Self::Status(rest.to_owned()),
            "-" => Self::Error(rest.to_owned()),
            ":" => Self::Int(number(rest)?),
            "$" => match usize::try_from(number(rest)?) {
                Ok(length) => Self::Bytes(read_bytes(input, length)?),
                Err(_) => Self::Nil,
            },
            "*" => match usize::try_from(number(rest)?) {
                Ok(length) => {
                    Self::Array((0..length).map(|_| Self::read(input)).collect::<io::Result<_>>()?)
                }
                Err(_) => Self::Nil,
            },
            _ => return Err(malformed()),
        })
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.strip_suffix(b"\r\n").ok_or_else(malformed)?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn read_bytes(input: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length + 2];
    input.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

fn number(digits: &str) -> io::Result<i64> {
    digits.parse().map_err(|_| malformed())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a reply of a server")
}

#[cfg(test)]
mod tests {
    use super::Reply;

    #[test]
    fn each_kind() {
        let mut input: &[u8] = b"*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n";
        let reply = Reply::read(&mut input);
        assert!(input.is_empty());
        let expected = [
            Reply::Status("OK".into()),
            Reply::Error("ERR no".into()),
            Reply::Int(-7),
            Reply::Bytes(b"a\r\n".to_vec()),
            Reply::Nil,
            Reply::Nil,
        ];
        assert_eq!(reply.as_ref().ok().and_then(Reply::array), Some(&expected[..]));
    }

    #[test]
    fn what_is_no_reply() {
        for mut input in [&b""[..], b"\r\n", b"+OK", b"!x\r\n", b":x\r\n", b"$4\r\nab"] {
            assert!(Reply::read(&mut input).is_err(), "{input:?}");
        }
    }
}
