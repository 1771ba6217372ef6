//! The operations on sessions against the commands that a program would send instead, with a key for
//! each session and a set that names them. It is less: no version, no maximum, nothing atomic.

mod support;

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::Sessions;
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{Pipeline, Value, cmd};
use auth_adapter_redis::session::{Check, Confirm, Create, Fill, List, Touch};
use criterion::Criterion;
use support::compare::{group, side};
use support::sessions::{RECORD, Users, by_hand, end_by_hand, id, index, row, users};
use support::{Bench, TTL_MILLIS, send};

/// How many sessions a user has.
const EACH: [usize; 2] = [5, 50];

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    for verb in [check, confirm, create, fill, list, revoke, revoke_all, revoke_others, touch] {
        verb(&mut criterion, &bench);
    }
    criterion.final_summary();
}

/// Our side of a verb: one call for each of many users.
fn ours<F>(
    criterion: &mut Criterion,
    bench: &Bench,
    verb: &str,
    call: impl Fn(Sessions, Arc<Users>, usize) -> F + Copy + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut group = group(criterion, &format!("session/{verb}"));
    let sessions = Sessions::new(bench.redis());
    let sessions = sessions.with_touch_every(Duration::from_millis(1)).unwrap();
    for each in EACH {
        let name = format!("{verb} of {each}");
        let prepare = async |bench: &Bench, count| users(bench, count, each).await;
        side(&mut group, bench, &name, prepare, |users, calls| {
            let (sessions, users) = (sessions.clone(), Arc::clone(users));
            async move {
                for at in calls {
                    call(sessions.clone(), Arc::clone(&users), at).await;
                }
            }
        });
    }
    group.finish();
}

/// What a program would send for one user, whose keys it is given.
fn theirs<F>(
    criterion: &mut Criterion,
    bench: &Bench,
    verb: &str,
    commands: &str,
    call: impl Fn(MultiplexedConnection, Arc<[Vec<String>]>, usize) -> F + Copy + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut group = group(criterion, &format!("session/{verb}"));
    for each in EACH {
        let name = format!("{commands} of {each}");
        let prepare = async |bench: &Bench, count| by_hand(bench, count, each).await;
        side(&mut group, bench, &name, prepare, |users, calls| {
            let (connection, users) = (bench.connection.clone(), Arc::clone(users));
            async move {
                for at in calls {
                    call(connection.clone(), Arc::clone(&users), at).await;
                }
            }
        });
    }
    group.finish();
}

fn check(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "check", |sessions: Sessions, users: Arc<Users>, at| async move {
        let check = sessions.check(&users.names[at], &users.rows[0].id).await.unwrap();
        assert!(matches!(check, Check::Active(_)), "{check:?}");
    });
    theirs(criterion, bench, "check", "GET", |mut connection, users, at| async move {
        let found = send(&mut connection, cmd("GET").arg(&users[at][0])).await;
        assert!(matches!(found, Value::BulkString(_)), "{found:?}");
    });
}

fn confirm(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "confirm", |sessions: Sessions, users: Arc<Users>, at| async move {
        let confirm = sessions.confirm(&users.names[at], &users.rows[0], &users.version).await;
        assert_eq!(confirm.unwrap(), Confirm::Confirmed);
    });
    theirs(criterion, bench, "confirm", "SET PX", |mut connection, users, at| async move {
        set(&mut connection, &users[at][0]).await;
    });
}

fn create(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "create", |sessions: Sessions, users: Arc<Users>, at| async move {
        let sessions = sessions.with_max(users.rows.len()).unwrap();
        let created = sessions.create(&users.names[at], &row(99_999_999)).await.unwrap();
        assert!(matches!(&created, Create::Created { displaced } if displaced.len() == 1));
    });
    let commands = "SMEMBERS, SET PX, SADD, GET, SET";
    theirs(criterion, bench, "create", commands, |mut connection, users, at| async move {
        let (oldest, index) = (&users[at][0], index(&users[at][0]));
        let named = send(&mut connection, cmd("SMEMBERS").arg(&index)).await;
        assert!(matches!(named, Value::Array(_) | Value::Set(_)), "{named:?}");
        let new = format!("{oldest}-new");
        set(&mut connection, &new).await;
        let added = send(&mut connection, cmd("SADD").arg(&index).arg(&new)).await;
        assert_eq!(added, Value::Int(1));
        end_by_hand(&mut connection, oldest).await;
    });
}

fn fill(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "fill", |sessions: Sessions, users: Arc<Users>, at| async move {
        let filled = sessions.fill(&users.names[at], &users.rows, &users.version).await;
        assert_eq!(filled.unwrap(), Fill::Filled { revoked: vec![] });
    });
    let commands = "a pipeline of SET PX and SADD";
    theirs(criterion, bench, "fill", commands, |mut connection, users, at| async move {
        let mut pipeline = Pipeline::with_capacity(users[at].len() + 1);
        for key in &users[at] {
            pipeline.cmd("SET").arg(key).arg(&RECORD[..]).arg("PX").arg(TTL_MILLIS).ignore();
        }
        pipeline.cmd("SADD").arg(index(&users[at][0])).arg(&users[at]).ignore();
        let () = pipeline.query_async(&mut connection).await.unwrap();
    });
}

fn list(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "list", |sessions: Sessions, users: Arc<Users>, at| async move {
        let List::Sessions(all) = sessions.list(&users.names[at]).await.unwrap() else {
            panic!("it is complete")
        };
        assert_eq!(all.len(), users.rows.len());
    });
    theirs(criterion, bench, "list", "SMEMBERS, MGET", |mut connection, users, at| async move {
        let members = cmd("SMEMBERS").arg(index(&users[at][0])).query_async(&mut connection).await;
        let keys: Vec<String> = members.unwrap();
        let all = cmd("MGET").arg(&keys).query_async(&mut connection).await;
        let all: Vec<Option<Vec<u8>>> = all.unwrap();
        assert_eq!(all.iter().flatten().count(), users[at].len());
    });
}

fn revoke(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "revoke", |sessions: Sessions, users: Arc<Users>, at| async move {
        let revoked = sessions.revoke(&users.names[at], &[id(0)], &[]).await.unwrap();
        assert_eq!(revoked.ended.len(), 1);
    });
    theirs(criterion, bench, "revoke", "GET, SET PX", |mut connection, users, at| async move {
        end_by_hand(&mut connection, &users[at][0]).await;
    });
}

fn revoke_all(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "revoke_all", |sessions: Sessions, users: Arc<Users>, at| async move {
        let revoked = sessions.revoke_all(&users.names[at], &[]).await.unwrap();
        assert_eq!(revoked.ended.len(), users.rows.len());
    });
    let commands = "GET, SET PX in turn";
    theirs(criterion, bench, "revoke_all", commands, |mut connection, users, at| async move {
        for key in &users[at] {
            end_by_hand(&mut connection, key).await;
        }
    });
}

fn revoke_others(criterion: &mut Criterion, bench: &Bench) {
    ours(
        criterion,
        bench,
        "revoke_others",
        |sessions: Sessions, users: Arc<Users>, at| async move {
            let revoked = sessions.revoke_others(&users.names[at], &id(0), &[]).await.unwrap();
            assert_eq!(revoked.ended.len(), users.rows.len() - 1);
        },
    );
    let commands = "GET, SET PX in turn";
    theirs(criterion, bench, "revoke_others", commands, |mut connection, users, at| async move {
        for key in &users[at][1..] {
            end_by_hand(&mut connection, key).await;
        }
    });
}

fn touch(criterion: &mut Criterion, bench: &Bench) {
    ours(criterion, bench, "touch", |sessions: Sessions, users: Arc<Users>, at| async move {
        let touched = sessions.touch(&users.names[at], &users.rows[0].id).await.unwrap();
        assert_ne!(touched, Touch::NotActive);
    });
    theirs(criterion, bench, "touch", "GET, SET PX", |mut connection, users, at| async move {
        let found = send(&mut connection, cmd("GET").arg(&users[at][0])).await;
        assert!(matches!(found, Value::BulkString(_)), "{found:?}");
        set(&mut connection, &users[at][0]).await;
    });
}

async fn set(connection: &mut MultiplexedConnection, key: &str) {
    let mut set = cmd("SET");
    set.arg(key).arg(&RECORD[..]).arg("PX").arg(TTL_MILLIS);
    assert_eq!(send(connection, &set).await, Value::Okay);
}
