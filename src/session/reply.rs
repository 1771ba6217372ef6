//! Replies of the scripts: a word that names the outcome, and what goes with it.

use redis::Value;

use super::outcome::Version;
use super::row::{Record, Session};
use crate::error::{Error, Result};
use crate::key::{SessionId, Timestamp};
use crate::script::{FromReply, shape_of};

/// The numbers of a packed session, see `scripts/shared/user_state.lua`.
const HEAD: usize = 26;

/// A reply that begins with the name of its outcome.
pub(super) struct Told {
    pub(super) outcome: String,
    pub(super) rest: Vec<Value>,
}

impl FromReply for Told {
    fn shape() -> String {
        "array that begins with a word".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        let Value::Array(items) = value else { return Err(shape_of(&value)) };
        let mut items = items.into_iter();
        let outcome = items.next().ok_or("empty array")?;
        Ok(Self { outcome: String::from_reply(outcome)?, rest: items.collect() })
    }
}

impl Told {
    pub(super) fn ids(self) -> Result<Vec<SessionId>> {
        let mut ids = self.rest.into_iter().map(id).collect::<Result<Vec<_>>>()?;
        ids.sort();
        Ok(ids)
    }

    pub(super) fn version(self) -> Result<Version> {
        match <[Value; 2]>::try_from(self.rest) {
            Ok([Value::BulkString(text), Value::Int(asked)]) => {
                Ok(Version { text, asked: asked.unsigned_abs() })
            }
            _ => Err(odd("a version and a time")),
        }
    }

    /// The one session of a reply that does not repeat its id.
    pub(super) fn session(self, id: &SessionId) -> Result<Session> {
        match <[Value; 1]>::try_from(self.rest) {
            Ok([Value::BulkString(packed)]) => unpack(id.clone(), &packed),
            _ => Err(odd("a packed session")),
        }
    }

    pub(super) fn sessions(self) -> Result<Vec<Session>> {
        let mut sessions = Vec::with_capacity(self.rest.len() / 2);
        let mut items = self.rest.into_iter();
        while let Some(of) = items.next() {
            let Some(Value::BulkString(packed)) = items.next() else {
                return Err(odd("a packed session after each id"));
            };
            sessions.push(unpack(id(of)?, &packed)?);
        }
        sessions.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(sessions)
    }

    /// An outcome that is none of this script's.
    pub(super) fn unknown<T>(self) -> Result<T> {
        Err(odd("an outcome of its header"))
    }
}

/// What of a reply is not as it should be.
fn odd(expected: &str) -> Error {
    Error::Reply {
        call: "a session script".to_owned(),
        expected: expected.to_owned(),
        got: "something else".to_owned(),
    }
}

fn id(value: Value) -> Result<SessionId> {
    let id = String::from_reply(value).ok();
    id.and_then(|id| SessionId::new(id).ok()).ok_or_else(|| odd("a session id"))
}

fn unpack(id: SessionId, packed: &[u8]) -> Result<Session> {
    let (head, rest) = packed.split_at_checked(HEAD).ok_or_else(|| odd("a packed session"))?;
    let number = |at: usize| {
        let bytes = &head[at..at + 6];
        let millis = bytes.iter().fold(0, |number, &byte| number << 8 | i64::from(byte));
        Timestamp::from_millis(millis)
    };
    let lineage = usize::from(u16::from_be_bytes([head[6], head[7]]));
    let record = rest.get(lineage..).ok_or_else(|| odd("a packed session"))?;
    let confirmed = number(20)?;
    Ok(Session {
        id,
        created: number(8)?,
        last_seen: number(14)?,
        expires: number(0)?,
        confirmed_until: (confirmed.as_millis() > 0).then_some(confirmed),
        record: Record::from(record),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_whole_or_an_error() {
        let text = |text: &[u8]| Value::BulkString(text.to_vec());
        let sessions = |rest: Vec<Value>| Told { outcome: "sessions".into(), rest }.sessions();
        let packed = text(&[0; HEAD]);
        assert_eq!(sessions(vec![text(b"a"), packed.clone()]).unwrap().len(), 1);
        for odd in [
            vec![text(b"a")],
            vec![text(b"a"), packed.clone(), text(b"b")],
            vec![text(b"a"), Value::Nil, text(b"b"), packed.clone()],
        ] {
            assert!(matches!(sessions(odd), Err(Error::Reply { .. })));
        }
    }

    #[test]
    fn an_outcome_that_nobody_knows_is_not_repeated() {
        let error = Told { outcome: "hunter2".into(), rest: Vec::new() }.unknown::<()>();
        assert!(!error.unwrap_err().to_string().contains("hunter2"));
    }

    /// `tests/session/format.rs` says the same of what the server writes.
    #[test]
    fn the_packed_format_byte_by_byte() {
        let mut packed = Vec::new();
        packed.extend([0x01, 0x9b, 0x4e, 0x73, 0xd4, 0x00]); // expires
        packed.extend([0x00, 0x03]); // length of the lineage
        packed.extend([0x01, 0x9a, 0xb3, 0xf4, 0xc0, 0x00]); // created
        packed.extend([0x01, 0x9a, 0xb3, 0xf4, 0xc0, 0x01]); // seen
        packed.extend([0x01, 0x9a, 0xb3, 0xf9, 0x53, 0xe0]); // confirmed until
        packed.extend([0xaa, 0xbb, 0xcc]); // the lineage
        packed.extend(b"record");
        let session = unpack(SessionId::new("s").unwrap(), &packed).unwrap();
        let time = |millis| Timestamp::from_millis(millis).unwrap();
        assert_eq!(session.created, time(0x019a_b3f4_c000));
        assert_eq!(session.last_seen, time(0x019a_b3f4_c001));
        assert_eq!(session.expires, time(0x019b_4e73_d400));
        assert_eq!(session.confirmed_until, Some(time(0x019a_b3f9_53e0)));
        assert_eq!(session.record.as_bytes(), b"record");
        for cut in 0..HEAD + 3 {
            assert!(unpack(session.id.clone(), &packed[..cut]).is_err(), "{cut}");
        }
        packed[20..26].fill(0);
        let session = unpack(session.id, &packed[..HEAD + 3]).unwrap();
        assert_eq!((session.confirmed_until, session.record), (None, Record::default()));
    }
}
