//! What holds for every reply of a session script.

use redis::Value;

use super::reply::Told;
use super::revoked;
use super::row::Session;
use crate::error::Result;
use crate::key::SessionId;
use crate::script::laws::{read, tells_shapes_alone};

/// The numbers of a packed session.
const HEAD: usize = 26;

/// Nothing of it is left out, and what is refused is told by its shape.
pub(crate) fn reply(value: &Value) {
    let told = || read::<Told>(value);
    let Some(Told { outcome, rest }) = told() else { return };
    let ask = |told: Told| told.unknown::<()>();
    assert!(kept(value, ask(Told { outcome: outcome.clone(), rest: Vec::new() })).is_none());

    let ids = told().and_then(|told| kept(value, told.ids()));
    if let Some(ids) = ids {
        assert_eq!(ids.len(), rest.len());
        assert!(ids.is_sorted());
    }
    let version = told().and_then(|told| kept(value, told.version()));
    assert!(version.is_none() || rest.len() == 2);
    let ended = told().and_then(|told| kept(value, revoked(told, Vec::new())));
    assert!(ended.is_none() || outcome == "ended");

    let id = SessionId::new("abc").unwrap();
    let one = told().and_then(|told| kept(value, told.session(&id)));
    if let Some(session) = one {
        assert_eq!(session.id, id);
        is_packed_so(&session, &rest[0]);
    }
    let many = told().and_then(|told| kept(value, told.sessions()));
    for session in many.iter().flatten() {
        let id = session.id.as_str().as_bytes();
        let is_its = |pair: &&[Value]| {
            matches!(&pair[0], Value::BulkString(text) if text == id)
                || matches!(&pair[0], Value::SimpleString(text) if text.as_bytes() == id)
        };
        assert!(rest.chunks(2).any(|pair| is_its(&pair)));
    }
    assert!(many.is_none_or(|many| many.len() * 2 == rest.len()));
}

/// What was read; of a refusal nothing but the law.
fn kept<T>(reply: &Value, read: Result<T>) -> Option<T> {
    read.map_err(|error| tells_shapes_alone(&error, reply)).ok()
}

fn is_packed_so(session: &Session, packed: &Value) {
    let Value::BulkString(packed) = packed else { panic!("{packed:?}") };
    let six = |millis: u64| millis.to_be_bytes()[2..].to_vec();
    let confirmed = session.confirmed_until.map_or(0, |until| until.as_millis());
    let times = [session.created.as_millis(), session.last_seen.as_millis(), confirmed].map(six);
    assert_eq!(packed[..6], six(session.expires.as_millis()));
    assert_eq!(packed[8..HEAD], times.concat());
    let lineage = usize::from(packed[6]) << 8 | usize::from(packed[7]);
    assert_eq!(&packed[HEAD + lineage..], session.record.as_bytes());
}
