//! The operations on refresh tokens against the commands that a program would send instead.

mod support;

use std::ops::Range;
use std::sync::Arc;

use auth_adapter_redis::redis::{Value, cmd};
use auth_adapter_redis::refresh::{Issue, Lookup, Revoke};
use auth_adapter_redis::{RefreshToken, RefreshTokens};
use criterion::Criterion;
use support::compare::{group, side};
use support::family::{
    current, families, families_by_hand, issue_by_hand, key, rotate as rotate_all, rotate_by_hand,
};
use support::{Bench, send};

/// As many as there are calls in flight.
const FAMILIES: usize = 64;

fn main() {
    let bench = Bench::start();
    let mut criterion = Criterion::default().configure_from_args();
    for verb in [issue, lookup, rotate, revoke] {
        verb(&mut criterion, &bench);
    }
    criterion.final_summary();
}

/// Each call brings the family one generation further.
fn issue(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "refresh/issue");
    let refresh = RefreshTokens::new(bench.redis());
    side(&mut group, bench, "issue", one_each, |each, calls| {
        let (refresh, mut token) = (refresh.clone(), each.of(&calls));
        async move {
            for _ in calls {
                token = token.next().unwrap();
                assert_eq!(refresh.issue(&token).await.unwrap(), Issue::Issued);
            }
        }
    });
    side(&mut group, bench, "HSET, PEXPIRE", one_each_by_hand, |each, calls| {
        let (mut connection, mut token) = (bench.connection.clone(), each.of(&calls));
        async move {
            for _ in calls {
                token = token.next().unwrap();
                issue_by_hand(&mut connection, &token).await;
            }
        }
    });
    group.finish();
}

fn lookup(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "refresh/lookup");
    let refresh = RefreshTokens::new(bench.redis());
    side(&mut group, bench, "lookup", one_each, |each, calls| {
        let (refresh, token) = (refresh.clone(), each.of(&calls));
        async move {
            for _ in calls {
                assert_eq!(refresh.lookup(&token).await.unwrap(), Lookup::Current);
            }
        }
    });
    side(&mut group, bench, "HGET", one_each_by_hand, |each, calls| {
        let (mut connection, token) = (bench.connection.clone(), each.of(&calls));
        async move {
            for _ in calls {
                assert_eq!(current(&mut connection, &token).await, token.hash().as_str());
            }
        }
    });
    group.finish();
}

fn rotate(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "refresh/rotate");
    let refresh = RefreshTokens::new(bench.redis());
    side(&mut group, bench, "rotate", one_each, |each, calls| {
        rotate_all(refresh.clone(), each.of(&calls), calls.len())
    });
    side(&mut group, bench, "HGET, then HSET, PEXPIRE", one_each_by_hand, |each, calls| {
        rotate_by_hand(bench.connection.clone(), each.of(&calls), calls.len())
    });
    group.finish();
}

fn revoke(criterion: &mut Criterion, bench: &Bench) {
    let mut group = group(criterion, "refresh/revoke");
    let refresh = RefreshTokens::new(bench.redis());
    side(&mut group, bench, "revoke", families, |tokens, calls| {
        let (refresh, tokens) = (refresh.clone(), Arc::clone(tokens));
        async move {
            for token in &tokens[calls] {
                assert_eq!(refresh.revoke(token).await.unwrap(), Revoke::Ended);
            }
        }
    });
    side(&mut group, bench, "HGET, then DEL", families_by_hand, |tokens, calls| {
        let (mut connection, tokens) = (bench.connection.clone(), Arc::clone(tokens));
        async move {
            for token in &tokens[calls] {
                assert_eq!(current(&mut connection, token).await, token.hash().as_str());
                let deleted = send(&mut connection, cmd("DEL").arg(key(token))).await;
                assert_eq!(deleted, Value::Int(1));
            }
        }
    });
    group.finish();
}

/// One family for each worker of so many calls.
struct PerWorker {
    tokens: Arc<[RefreshToken]>,
    calls: usize,
}

impl PerWorker {
    /// The first token of the family of the worker that makes these calls.
    fn of(&self, calls: &Range<usize>) -> RefreshToken {
        self.tokens[calls.start / self.calls.div_ceil(FAMILIES)].clone()
    }
}

async fn one_each(bench: &Bench, calls: usize) -> PerWorker {
    PerWorker { tokens: families(bench, FAMILIES).await, calls }
}

async fn one_each_by_hand(bench: &Bench, calls: usize) -> PerWorker {
    PerWorker { tokens: families_by_hand(bench, FAMILIES).await, calls }
}
