//! What 10,000 users with five sessions each take on the server: kept by this crate, and in keys of
//! the patterns that auth engines share.
//!
//! A session has a record of 100 bytes, and its refresh token was rotated 20 times. Nothing expires
//! meanwhile: it is as if all users were active at once.

mod keys;

use std::iter;
use std::ops::Range;
use std::time::Duration;

use auth_adapter_redis::key::{SessionId, Timestamp, UserId};
use auth_adapter_redis::refresh::{Issue, Rotate};
use auth_adapter_redis::session::{Check, Fill, Row, Touch};
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Redis, RefreshToken, RefreshTokens, Sessions, script};

use crate::measure::{Goal, Ratio};
use crate::support::sessions::RECORD;
use crate::support::{Bench, flood, handle};

pub use keys::memory_keys_mb;

const USERS: usize = 10_000;
const EACH: usize = 5;
const SESSIONS: usize = USERS * EACH;
const ROTATIONS: usize = 20;
const IN_FLIGHT: usize = 64;
/// As short as it gets: a response that was to be replayed goes with what writes next.
const MOMENT: Duration = Duration::from_millis(1);

/// One hash a user.
pub fn memory_mb(_: &Bench) -> Ratio {
    let bytes = grown(async |server, redis| {
        flood(IN_FLIGHT, USERS, |users| use_sessions(redis.clone(), users)).await;
        for at in [0, USERS - 1] {
            assert_alike(server, redis, at);
        }
    });
    tell("user:{userId}:state", USERS, bytes);
    Ratio {
        name: "memory_mb",
        goal: Goal::AtMost(22.0),
        samples: vec![megabytes(bytes)],
        what: "MB: 10,000 users with 5 sessions, each with 100 bytes and rotated 20 times",
    }
}

/// The sessions of these users as a database has them, and what their tokens come to.
async fn use_sessions(redis: Redis, users: Range<usize>) {
    let tokens = RefreshTokens::new(redis.clone()).with_window(MOMENT).unwrap();
    let sessions = Sessions::new(redis).with_touch_every(MOMENT).unwrap();
    for user in users.clone() {
        let name = user_id(user);
        let rows: Vec<_> = ids(user).map(row).collect();
        let Check::Unknown(version) = sessions.check(&name, &rows[0].id).await.unwrap() else {
            panic!("nothing is known of {name}")
        };
        let filled = sessions.fill(&name, &rows, &version).await.unwrap();
        assert_eq!(filled, Fill::Filled { revoked: Vec::new() });
        let first = |id| RefreshToken::new(&name, &id).unwrap();
        let mut current: Vec<_> = ids(user).map(first).collect();
        for token in &current {
            assert_eq!(tokens.issue(token).await.unwrap(), Issue::Issued);
        }
        for at in iter::repeat_n(0..EACH, ROTATIONS).flatten() {
            let token = &mut current[at];
            let (next, response) = (token.next().unwrap(), token.expose());
            let outcome = tokens.rotate(token, &next, response.as_bytes()).await.unwrap();
            assert!(matches!(outcome, Rotate::Rotated { .. }), "{outcome:?}");
            *token = next;
        }
    }
    // The windows have closed, and this drops the responses.
    for user in users {
        let id = ids(user).next().unwrap();
        assert_eq!(sessions.touch(&user_id(user), &id).await.unwrap(), Touch::Noted);
    }
}

/// No session has more than another, as one would whose response is still kept.
fn assert_alike(server: &Server, redis: &Redis, user: usize) {
    let state = redis.keys().user_state(&user_id(user));
    let length = |id| server.command(&["HSTRLEN", &state, &format!("s:{id}")]).unwrap().int();
    let lengths: Vec<_> = ids(user).map(length).collect();
    assert!(lengths[0] > Some(0) && lengths.iter().all(|one| *one == lengths[0]), "{lengths:?}");
}

fn row(id: SessionId) -> Row {
    let now = Timestamp::now();
    let expires = Timestamp::from_millis((now.as_millis() + 3_600_000) as i64).unwrap();
    Row::new(id, now, expires).with_record(RECORD)
}

fn ids(user: usize) -> impl Iterator<Item = SessionId> {
    (user * EACH..(user + 1) * EACH).map(session_id)
}

fn user_id(n: usize) -> UserId {
    format!("00000001-0000-4000-8000-{n:012x}").parse().unwrap()
}

fn session_id(n: usize) -> SessionId {
    format!("00000002-0000-4000-8000-{n:012x}").parse().unwrap()
}

/// By how many bytes `used_memory` of a new server grows when it is filled, without what the
/// connection takes for that.
fn grown(fill: impl AsyncFnOnce(&Server, &Redis)) -> usize {
    let bench = Bench::start();
    bench.runtime.block_on(async {
        script::library().load(&bench.redis()).await.unwrap();
        let empty = used_memory(&bench.server).await;
        let redis = handle(&bench.server).await;
        fill(&bench.server, &redis).await;
        drop(redis);
        used_memory(&bench.server).await - empty
    })
}

/// Once it stands still: the server frees the tables and the connections of before little by little.
async fn used_memory(server: &Server) -> usize {
    // A busy machine makes calls slow, and the server keeps those to tell of them.
    server.command(&["SLOWLOG", "RESET"]).unwrap();
    let mut last = 0;
    let mut same = 0;
    while same < 5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let used = server.info_field("memory", "used_memory").unwrap().parse().unwrap();
        same = if used == last { same + 1 } else { 0 };
        last = used;
    }
    last
}

fn tell(what: &str, keys: usize, bytes: usize) {
    let (mb, key, session) = (megabytes(bytes), bytes / keys, bytes / SESSIONS);
    eprintln!("{what:<28}{keys:>8} keys{mb:>6.1} MB{key:>6} bytes a key{session:>6} a session");
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
