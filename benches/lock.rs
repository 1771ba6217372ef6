//! The lock's operations against the commands that a program would send instead.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use auth_adapter_redis::lock::{
    Acquire, AcquireFenced, Extend, Join, Leases, LockToken, Place, Release, Steal, Told,
};
use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{self, Value, cmd};
use auth_adapter_redis::{Locks, script};
use criterion::Criterion;
use support::compare::{group, side};
use support::{Bench, Holder, TTL, TTL_MILLIS, connect, flood, flush, keys, send};
use tokio::task::JoinSet;

const OWNER: &str = "bench-owner";

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    let taking = [acquire, acquire_fenced, steal];
    let keeping = [extend, extend_many, release, hand_over, join, leave, peek, inspect];
    for verb in taking.into_iter().chain(keeping) {
        verb(&mut criterion, &bench);
    }
    cycle(&mut criterion, &bench);
    criterion.final_summary();
}

fn acquire(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/acquire");
    let locks = locks(bench);
    side(&mut group, bench, "acquire", free, |keys, calls| {
        let (locks, keys) = (locks.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let outcome = locks.acquire(key, TTL).await.unwrap();
                assert!(matches!(outcome, Acquire::Acquired(_)), "{outcome:?}");
            }
        }
    });
    side(&mut group, bench, "SET NX PX", free, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let mut set = cmd("SET");
                set.arg(key).arg(Holder::random(OWNER).text());
                set.arg("NX").arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Okay);
            }
        }
    });
    group.finish();
}

/// Against a fence by hand, which does without a script: a holder that dies between the two leaves a lock
/// without one.
fn acquire_fenced(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/acquire_fenced");
    let locks = locks(bench);
    side(&mut group, bench, "acquire_fenced", free, |keys, calls| {
        let (locks, keys) = (locks.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let outcome = locks.acquire_fenced(key, TTL).await.unwrap();
                assert!(matches!(outcome, AcquireFenced::Acquired { .. }), "{outcome:?}");
            }
        }
    });
    side(&mut group, bench, "SET NX PX, then INCR", free, |keys, calls| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            for key in &keys[calls] {
                let mut set = cmd("SET");
                set.arg(key).arg(Holder::random(OWNER).text());
                set.arg("NX").arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Okay);
                let fence = send(&mut connection, cmd("INCR").arg(format!("{key}:fence"))).await;
                assert_eq!(fence, Value::Int(1));
            }
        }
    });
    group.finish();
}

fn steal(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/steal");
    let locks = locks(bench);
    side(&mut group, bench, "inspect, then steal", held_by_hand, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, _) in &held[calls] {
                let seen = locks.inspect(key).await.unwrap().unwrap();
                let outcome = locks.steal(key, &seen, TTL).await.unwrap();
                assert!(matches!(outcome, Steal::Stolen { .. }), "{outcome:?}");
            }
        }
    });
    let name = "GET, then SET PX, then INCR";
    side(&mut group, bench, name, held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                assert_eq!(get(&mut connection, key).await, *holder);
                let mut set = cmd("SET");
                set.arg(key).arg(Holder::random(OWNER).text()).arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Okay);
                let fence = send(&mut connection, cmd("INCR").arg(format!("{key}:fence"))).await;
                assert_eq!(fence, Value::Int(1));
            }
        }
    });
    group.finish();
}

fn extend(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/extend");
    let locks = locks(bench);
    side(&mut group, bench, "extend", held, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, token) in &held[calls] {
                let outcome = locks.extend(key, token, TTL).await.unwrap();
                assert_ne!(outcome, Extend::NotOurs);
            }
        }
    });
    let name = "GET, then PEXPIRE";
    side(&mut group, bench, name, held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                assert_eq!(get(&mut connection, key).await, *holder);
                let mut extend = cmd("PEXPIRE");
                extend.arg(key).arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &extend).await, Value::Int(1));
            }
        }
    });
    group.finish();
}

/// A hundred leases a call: the figure is that of one lease.
fn extend_many(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/extend_many");
    let locks = locks(bench);
    side(&mut group, bench, "extend_many of 100", held, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for part in held[calls].chunks(100) {
                let part: Vec<_> = part.iter().map(|(key, token)| (&**key, token, TTL)).collect();
                let outcomes = locks.extend_many(&part).await.unwrap();
                assert!(!outcomes.contains(&Extend::NotOurs));
            }
        }
    });
    side(&mut group, bench, "100 calls of extend at once", held, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for first in calls.clone().step_by(100) {
                let mut extends = JoinSet::new();
                for at in first..(first + 100).min(calls.end) {
                    let (locks, held) = (locks.clone(), Arc::clone(&held));
                    extends.spawn(async move {
                        let (key, token) = &held[at];
                        locks.extend(key, token, TTL).await.unwrap()
                    });
                }
                assert!(!extends.join_all().await.contains(&Extend::NotOurs));
            }
        }
    });
    group.finish();
}

fn release(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/release");
    let locks = locks(bench);
    side(&mut group, bench, "release", held, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, token) in &held[calls] {
                let outcome = locks.release(key, token).await.unwrap();
                assert_eq!(outcome, Release::Freed);
            }
        }
    });
    let name = "GET, then DEL";
    side(&mut group, bench, name, held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                assert_eq!(get(&mut connection, key).await, *holder);
                let deleted = send(&mut connection, cmd("DEL").arg(key)).await;
                assert_eq!(deleted, Value::Int(1));
            }
        }
    });
    // What is watched belongs to a connection, so that each worker has one of its own.
    let connections = bench.runtime.block_on(async {
        let mut connections = Vec::with_capacity(64);
        for _ in 0..64 {
            connections.push(connect(&bench.server).await);
        }
        connections
    });
    let turn = AtomicUsize::new(0);
    let name = "WATCH, GET, MULTI, DEL, EXEC";
    side(&mut group, bench, name, held_by_hand, |held, calls| {
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        let mut connection = connections[turn % connections.len()].clone();
        let held = Arc::clone(held);
        async move {
            for (key, holder) in &held[calls] {
                assert_eq!(send(&mut connection, cmd("WATCH").arg(key)).await, Value::Okay);
                assert_eq!(get(&mut connection, key).await, *holder);
                // MULTI, DEL and EXEC go out together, as clients send them.
                let mut delete = redis::pipe();
                delete.atomic().del(key);
                let deleted: (i64,) = delete.query_async(&mut connection).await.unwrap();
                assert_eq!(deleted, (1,));
            }
        }
    });
    group.finish();
}

fn hand_over(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/hand_over");
    let locks = locks(bench);
    side(&mut group, bench, "hand_over", held, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, token) in &held[calls] {
                assert_eq!(locks.hand_over(key, token).await.unwrap(), Release::Freed);
            }
        }
    });
    side(&mut group, bench, "release", held, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, token) in &held[calls] {
                assert_eq!(locks.release(key, token).await.unwrap(), Release::Freed);
            }
        }
    });
    group.finish();
}

/// A place in the queue of a lock that another holds, and the place given up.
fn join(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/join");
    let locks = locks(bench);
    let (place, token) = (Place::new(Told::Never, TTL).unwrap(), token(bench));
    side(&mut group, bench, "join", held_by_hand, |held, calls| {
        let (locks, held, token) = (locks.clone(), Arc::clone(held), token.clone());
        async move {
            for (key, _) in &held[calls] {
                let outcome = locks.join(key, &token, TTL, &place, TTL).await.unwrap();
                assert!(matches!(outcome, Join::Queued { .. }), "{outcome:?}");
            }
        }
    });
    let name = "SET NX PX, then ZADD";
    side(&mut group, bench, name, held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                let mut set = cmd("SET");
                set.arg(key).arg(holder).arg("NX").arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Nil);
                let mut place = cmd("ZADD");
                place.arg(format!("{key}:queue")).arg(1).arg(holder);
                assert_eq!(send(&mut connection, &place).await, Value::Int(1));
            }
        }
    });
    group.finish();
}

fn leave(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/leave");
    let locks = locks(bench);
    let (place, token) = (Place::new(Told::Never, TTL).unwrap(), token(bench));
    side(&mut group, bench, "leave", held_by_hand, |held, calls| {
        let (locks, held, token) = (locks.clone(), Arc::clone(held), token.clone());
        async move {
            for (key, _) in &held[calls] {
                assert_eq!(locks.leave(key, &token, &place).await.unwrap(), Release::NotOurs);
            }
        }
    });
    side(&mut group, bench, "ZREM, then GET", held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                let mut place = cmd("ZREM");
                place.arg(format!("{key}:queue")).arg(holder);
                assert_eq!(send(&mut connection, &place).await, Value::Int(0));
                assert_eq!(get(&mut connection, key).await, *holder);
            }
        }
    });
    group.finish();
}

fn peek(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/peek");
    let locks = locks(bench);
    side(&mut group, bench, "peek", held_by_hand, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, _) in &held[calls] {
                let held = locks.peek(key).await.unwrap().unwrap();
                assert!(held.owner.is_some() && held.left.is_some(), "{held:?}");
            }
        }
    });
    side(&mut group, bench, "GET, then PTTL", held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                assert_eq!(get(&mut connection, key).await, *holder);
                let left = send(&mut connection, cmd("PTTL").arg(key)).await;
                assert!(matches!(left, Value::Int(1..)), "{left:?}");
            }
        }
    });
    group.finish();
}

fn inspect(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/inspect");
    let locks = locks(bench);
    side(&mut group, bench, "inspect", held_by_hand, |held, calls| {
        let (locks, held) = (locks.clone(), Arc::clone(held));
        async move {
            for (key, _) in &held[calls] {
                let seen = locks.inspect(key).await.unwrap().unwrap();
                assert!(seen.owner.is_some() && seen.left.is_some(), "{seen:?}");
            }
        }
    });
    let name = "GET, PTTL, GET and ZCARD in turn";
    side(&mut group, bench, name, held_by_hand, |held, calls| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(held));
        async move {
            for (key, holder) in &held[calls] {
                assert_eq!(get(&mut connection, key).await, *holder);
                let left = send(&mut connection, cmd("PTTL").arg(key)).await;
                assert!(matches!(left, Value::Int(1..)), "{left:?}");
                let fence = send(&mut connection, cmd("GET").arg(format!("{key}:fence"))).await;
                assert_eq!(fence, Value::Nil);
                let waiters = send(&mut connection, cmd("ZCARD").arg(format!("{key}:queue"))).await;
                assert_eq!(waiters, Value::Int(0));
            }
        }
    });
    group.finish();
}

/// A free lock taken and released with a guard, against the least that does the same.
fn cycle(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "lock/cycle");
    let guards = Locks::new(bench.redis()).with_owner(OWNER).unwrap();
    side(&mut group, bench, "try_acquire, release", free, |keys, cycles| {
        let (guards, keys) = (guards.clone(), Arc::clone(keys));
        async move {
            for key in &keys[cycles] {
                let guard = guards.try_acquire(key, TTL).await.unwrap().guard().unwrap();
                assert_eq!(guard.release().await.unwrap(), Release::Freed);
            }
        }
    });
    side(&mut group, bench, "SET NX PX, then EVALSHA", free, |keys, cycles| {
        let (mut connection, keys) = (bench.connection.clone(), Arc::clone(keys));
        async move {
            let sha = script::library().get("lock/release").unwrap().sha();
            for key in &keys[cycles] {
                let holder = Holder::random(OWNER).text();
                let mut set = cmd("SET");
                set.arg(key).arg(&holder).arg("NX").arg("PX").arg(TTL_MILLIS);
                assert_eq!(send(&mut connection, &set).await, Value::Okay);
                let mut release = cmd("EVALSHA");
                release.arg(sha).arg(1).arg(key).arg(&holder);
                assert_eq!(send(&mut connection, &release).await, Value::Int(1));
            }
        }
    });
    group.finish();
}

fn locks(bench: &Bench) -> Leases {
    Leases::new(bench.redis()).with_owner(OWNER).unwrap()
}

/// One that has no lock.
fn token(bench: &Bench) -> LockToken {
    let held = bench.runtime.block_on(held(bench, 1));
    held[0].1.clone()
}

async fn get(connection: &mut MultiplexedConnection, key: &str) -> String {
    let holder = cmd("GET").arg(key).query_async(connection).await;
    holder.unwrap()
}

/// So many free locks, on a server that has the scripts.
async fn free(bench: &Bench, count: usize) -> Arc<[String]> {
    let redis = bench.redis();
    script::library().load(&redis).await.unwrap();
    flush(&mut bench.connection.clone()).await;
    keys(count)
}

/// So many locks with their tokens.
async fn held(bench: &Bench, count: usize) -> Arc<[(String, LockToken)]> {
    let keys = free(bench, count).await;
    let mut workers = JoinSet::new();
    for part in keys.chunks(count.div_ceil(64)) {
        let (locks, part) = (locks(bench), part.to_vec());
        workers.spawn(async move {
            let mut held = Vec::with_capacity(part.len());
            for key in part {
                match locks.acquire(&key, TTL).await.unwrap() {
                    Acquire::Acquired(token) => held.push((key, token)),
                    other => panic!("{key}: {other:?}"),
                }
            }
            held
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}

/// So many locks with the values that their tokens stand for.
async fn held_by_hand(bench: &Bench, count: usize) -> Arc<[(String, String)]> {
    let keys = free(bench, count).await;
    let held = keys.iter().map(|key| (key.clone(), Holder::random(OWNER).text()));
    let held: Arc<[(String, String)]> = held.collect();
    flood(64, count, |range| {
        let (mut connection, held) = (bench.connection.clone(), Arc::clone(&held));
        async move {
            for (key, holder) in &held[range] {
                let mut set = cmd("SET");
                set.arg(key).arg(holder).arg("PX").arg(TTL_MILLIS);
                send(&mut connection, &set).await;
            }
        }
    })
    .await;
    held
}
