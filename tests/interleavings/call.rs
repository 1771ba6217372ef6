//! A call as a client prepares it, so that it can be executed late, twice, or never; and its reply.

use std::collections::{BTreeMap, BTreeSet};

use auth_adapter_redis::redis::Value;
use auth_adapter_redis::{Redis, ScriptLibrary};

/// A session as the database has it. All times are the history's, in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: String,
    pub created: u64,
    pub expires: u64,
}

/// A refresh token: what differs between two of them, instead of hashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    pub session: String,
    pub family: u32,
    pub generation: u32,
    pub secret: u32,
}

/// What a reply said when Redis did not know enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub text: String,
    pub asked: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    Check {
        session: String,
        nonce: String,
    },
    Confirm {
        row: Row,
        version: Version,
    },
    Create {
        row: Row,
        nonce: String,
    },
    Fill {
        rows: Vec<Row>,
        version: Version,
    },
    List {
        nonce: String,
    },
    Touch {
        session: String,
    },
    Revoke {
        sessions: Vec<String>,
        nonce: String,
    },
    /// `covers` are those that the database had ended by then. It is not sent.
    RevokeAll {
        covers: Vec<String>,
        nonce: String,
    },
    RevokeOthers {
        stays: String,
        covers: Vec<String>,
        nonce: String,
    },
    Issue {
        token: Token,
    },
    Lookup {
        token: Token,
    },
    Rotate {
        token: Token,
        next: Token,
        payload: String,
        nonce: String,
    },
    RevokeFamily {
        token: Token,
        nonce: String,
    },
}

/// What a script is told beside its call.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether there is a database behind.
    pub database: bool,
    pub max: usize,
    pub window: u64,
    /// How long a confirmed session reads active.
    pub lasts: u64,
    /// How long a filled list is complete.
    pub complete: u64,
    pub debounce: u64,
    pub longest: u64,
    /// How long sessions last, and how long it can be that nothing happens.
    pub lives: [u64; 3],
    pub pauses: [u64; 4],
}

/// The times of a session, as it is packed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    pub created: u64,
    pub seen: u64,
    pub expires: u64,
    pub confirmed: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Int(i64),
    /// An outcome and the ids that go with it, in any order.
    Told(String, BTreeSet<String>),
    /// `unknown` or `unfilled`, and what can be brought back under which version.
    Asked(String, Version),
    Active(Times),
    Sessions(BTreeMap<String, Times>),
    Rotated(u64),
    Replayed(Vec<u8>),
}

/// The hash of a secret, as good as any.
fn hash(secret: u32) -> Vec<u8> {
    secret.to_be_bytes().repeat(8)
}

impl Call {
    pub fn script(&self) -> &'static str {
        match self {
            Self::Check { .. } => "session/check",
            Self::Confirm { .. } => "session/confirm",
            Self::Create { .. } => "session/create",
            Self::Fill { .. } => "session/fill",
            Self::List { .. } => "session/list",
            Self::Touch { .. } => "session/touch",
            Self::Revoke { .. } => "session/revoke",
            Self::RevokeAll { .. } => "session/revoke_all",
            Self::RevokeOthers { .. } => "session/revoke_others",
            Self::Issue { .. } => "refresh/issue",
            Self::Lookup { .. } => "refresh/lookup",
            Self::Rotate { .. } => "refresh/rotate",
            Self::RevokeFamily { .. } => "refresh/revoke",
        }
    }

    /// Executes it where the server's clock is behind the history's by `offset`.
    pub async fn run(
        &self,
        scripts: &'static ScriptLibrary,
        redis: &Redis,
        state: &str,
        rules: &Rules,
        offset: u64,
    ) -> Reply {
        let database = u8::from(rules.database);
        let real = |time: u64| time.saturating_sub(offset);
        let script = scripts.get(self.script()).expect("the script is there");
        let call = script.call_many(redis, 0).key("state", state);
        let call = match self {
            Self::Revoke { .. } | Self::RevokeAll { .. } | Self::RevokeOthers { .. } => {
                call.keys("also", [])
            }
            _ => call,
        };
        let call = match self {
            Self::Check { session, nonce } => {
                call.arg("session", session).arg("nonce", nonce).arg("database", database)
            }
            Self::Confirm { row, version } => {
                let call = call.arg("session", &row.id).arg("version", &version.text);
                let call = call.arg("asked", real(version.asked));
                let call = call.arg("created", real(row.created)).arg("expires", real(row.expires));
                call.arg("record", &row.id).arg("lasts", rules.lasts)
            }
            Self::Create { row, nonce } => {
                let call = call.arg("session", &row.id).arg("nonce", nonce);
                let call = call.arg("created", real(row.created)).arg("expires", real(row.expires));
                call.arg("record", &row.id).arg("max", rules.max).arg("database", database)
            }
            Self::Fill { rows, version } => {
                let call = call.arg("version", &version.text).arg("asked", real(version.asked));
                let call = call.arg("lasts", rules.lasts).arg("complete", rules.complete);
                let rows = rows.iter();
                let rows = rows.map(|row| (&row.id, real(row.created), real(row.expires), &row.id));
                call.args("session", rows)
            }
            Self::List { nonce } => call.arg("nonce", nonce).arg("database", database),
            Self::Touch { session } => {
                let call = call.arg("session", session).arg("debounce", rules.debounce);
                call.arg("database", database)
            }
            Self::Revoke { sessions, nonce } => {
                let call = call.arg("nonce", nonce).arg("longest", rules.longest);
                call.args("session", sessions)
            }
            Self::RevokeAll { nonce, .. } => call.arg("nonce", nonce),
            Self::RevokeOthers { stays, nonce, .. } => call.arg("stays", stays).arg("nonce", nonce),
            Self::Issue { token } | Self::Lookup { token } | Self::Rotate { token, .. } => {
                let call = call.arg("session", &token.session).arg("family", hash(token.family));
                call.arg("generation", token.generation).arg("token", hash(token.secret))
            }
            Self::RevokeFamily { token, nonce } => {
                let call = call.arg("session", &token.session).arg("family", hash(token.family));
                call.arg("nonce", nonce)
            }
        };
        let call = match self {
            Self::Rotate { next, payload, nonce, .. } => {
                let call = call.arg("next", hash(next.secret)).arg("payload", payload);
                call.arg("window", rules.window).arg("nonce", nonce)
            }
            _ => call,
        };
        read(call.run().await.unwrap(), offset)
    }
}

impl Reply {
    pub fn outcome(&self) -> String {
        let outcome = match self {
            Self::Int(int) => return int.to_string(),
            Self::Told(outcome, _) | Self::Asked(outcome, _) => outcome,
            Self::Active(_) => "active",
            Self::Sessions(_) => "sessions",
            Self::Rotated(_) => "rotated",
            Self::Replayed(_) => "replayed",
        };
        outcome.to_owned()
    }
}

fn text(word: &Value) -> String {
    match word {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?} is no text"),
    }
}

fn bytes(word: &Value) -> &[u8] {
    match word {
        Value::BulkString(bytes) => bytes,
        other => panic!("{other:?} is no string"),
    }
}

fn read(reply: Value, offset: u64) -> Reply {
    let words = match reply {
        Value::Int(int) => return Reply::Int(int),
        Value::Array(words) => words,
        word => vec![word],
    };
    let outcome = text(&words[0]);
    match (&*outcome, &words[1..]) {
        ("active", [packed]) => Reply::Active(times(bytes(packed), offset)),
        ("sessions", pairs) => {
            let pairs = pairs.chunks(2);
            let read = pairs.map(|pair| {
                let (id, packed) = (text(&pair[0]), bytes(&pair[1]));
                assert!(packed.ends_with(id.as_bytes()), "the record of {id} is another's");
                (id, times(packed, offset))
            });
            Reply::Sessions(read.collect())
        }
        ("replayed", [payload]) => Reply::Replayed(bytes(payload).to_vec()),
        ("rotated", [Value::Int(expires)]) => Reply::Rotated(*expires as u64 + offset),
        (_, [version, Value::Int(asked)]) => {
            let version = Version { text: text(version), asked: *asked as u64 + offset };
            Reply::Asked(outcome, version)
        }
        (_, ids) => Reply::Told(outcome, ids.iter().map(text).collect()),
    }
}

/// Its expiry leads a packed session, then the length of its lineage and the other times.
fn times(packed: &[u8], offset: u64) -> Times {
    let time = |at: usize| {
        let digits = packed[at..at + 6].iter();
        digits.fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    // Never is not a time that shifts.
    let confirmed = if time(20) == 0 { 0 } else { time(20) + offset };
    Times {
        created: time(8) + offset,
        seen: time(14) + offset,
        expires: time(0) + offset,
        confirmed,
    }
}
