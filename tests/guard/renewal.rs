//! Guards that are renewed: as long as they are held, and not a call longer.

use std::time::Instant;

use auth_adapter_redis::testing::Data;

use super::support::target::{own_behind_proxy, own_with};
use super::support::{HANG, until};
use super::*;

/// Two thirds of it are what a busy machine may add to a renewal.
const TTL: Duration = Duration::from_secs(3);

/// Renewals that the server executed: what else extends a lease is none of these tests.
fn renewals(server: &Own) -> u64 {
    server.command_calls("pexpire")
}

/// So many more of them.
async fn renewed(server: &Own, times: u64) {
    let before = renewals(server);
    until(|| renewals(server) >= before + times).await;
}

#[tokio::test]
async fn a_guard_outlives_its_ttl_and_its_renewal_ends_with_it() {
    let server = own();
    let redis = redis_on(&server).await;
    let locks = Locks::new(redis.clone()).with_renewal();
    let began = Instant::now();
    let guard = taken(&locks, TTL).await;
    renewed(&server, 4).await;
    assert!(began.elapsed() > TTL, "at a third of the TTL: {:?}", began.elapsed());
    assert!(!guard.is_lost());
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    let calls = server.command_calls("evalsha");
    tokio::time::sleep(TTL / 2).await;
    assert_eq!(server.command_calls("evalsha"), calls, "not a call after the release");
    assert!(!is_there(&server, &redis));
}

#[tokio::test]
async fn without_being_told_to_nothing_is_renewed() {
    let server = own();
    let redis = redis_on(&server).await;
    let guard = taken(&Locks::new(redis.clone()), TTL / 6).await;
    guard.lost().await;
    assert_eq!(renewals(&server), 0);
}

#[tokio::test]
async fn a_dropped_guard_is_not_renewed() {
    let server = own();
    let redis = redis_on(&server).await;
    let locks = Locks::new(redis.clone()).with_renewal();
    drop(taken(&locks, TTL).await);
    let other = won(locks.try_acquire("{lock}2", TTL).await);
    renewed(&server, 2).await;
    assert!(!is_there(&server, &redis) && !other.is_lost());
    let calls = server.command_calls("evalsha");
    renewed(&server, 2).await;
    assert!(server.command_calls("evalsha") <= calls + 3, "one call for each renewal");
}

/// The renewal was sent and is on its way, the guard is released, and another takes the lock before
/// the renewal arrives, if it ever does.
#[tokio::test]
async fn a_renewal_that_is_late_moves_nobody_elses_lease() {
    let server = own_behind_proxy();
    let (locks, redis) = brittle(&server).await;
    let locks = locks.with_renewal();
    let guard = taken(&locks, TTL).await;
    let proxy = server.proxy();
    proxy.freeze_present();
    until(|| proxy.held_bytes() > 0).await;
    assert!(!guard.is_lost());
    let _unanswered = guard.release().await;
    locks.close(HANG).await.unwrap();
    assert!(!is_there(&server, &redis));
    raw_on(&server, &redis, "SET", "lock", &["theirs", "PX", "60000"]);
    proxy.thaw();
    // What was held back arrives before what is sent from now on, or never.
    let another = won(Locks::new(redis.clone()).acquire("{lock}2", LONG, LONG).await);
    assert_eq!(raw_on(&server, &redis, "GET", "lock", &[]).text(), Some("theirs"));
    let left = raw_on(&server, &redis, "PTTL", "lock", &[]).int().unwrap();
    assert!(left <= 60_000 && left > 30_000, "{left}");
    drop(another);
}

#[tokio::test]
async fn many_guards_are_renewed_in_few_calls() {
    const GUARDS: usize = 250;
    let server = own();
    let redis = redis_on(&server).await;
    let locks = Locks::new(redis).with_renewal();
    let mut guards = Vec::new();
    for at in 0..GUARDS {
        guards.push(won(locks.try_acquire(&format!("{{lock}}{at}"), TTL * 2).await));
    }
    let calls = server.command_calls("evalsha");
    renewed(&server, GUARDS as u64 * 2).await;
    let calls = server.command_calls("evalsha") - calls;
    assert!(calls <= 60, "{calls} calls for {GUARDS} guards and two renewals of each");
    assert!(guards.iter().all(|guard| !guard.is_lost()));
}

#[tokio::test]
async fn a_renewal_that_finds_the_lock_gone_loses_it_at_once() {
    let (locks, redis) = locks().await;
    let locks = locks.with_renewal();
    let ttl = TTL * 3;
    let guard = taken(&locks, ttl).await;
    let began = Instant::now();
    raw(&redis, "DEL", "lock", &[]);
    tokio::time::timeout(HANG, guard.lost()).await.unwrap();
    assert!(began.elapsed() < ttl * 3 / 4, "long before its TTL: {:?}", began.elapsed());
    assert_eq!(value(&redis), None);
}

#[tokio::test]
async fn renewals_without_an_answer_are_tolerated_until_the_deadline() {
    let server = own_behind_proxy();
    let (locks, _) = brittle(&server).await;
    let ttl = TTL * 3;
    let guard = taken(&locks.with_renewal(), ttl).await;
    server.proxy().black_hole();
    // Half of it in the dark, the first renewals among it.
    until(|| guard.remaining() < ttl / 2).await;
    server.proxy().pass();
    until(|| guard.remaining() > ttl * 3 / 4).await;
    assert!(!guard.is_lost());
}

#[tokio::test]
async fn a_guard_goes_on_over_a_restart_with_its_data() {
    let server = own_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (locks, redis) = brittle(&server).await;
    let ttl = TTL * 5;
    let guard = taken(&locks.with_renewal(), ttl).await;
    until(|| guard.remaining() < ttl * 4 / 5).await;
    server.restart(Data::Kept);
    until(|| guard.remaining() > ttl * 9 / 10).await;
    assert!(!guard.is_lost() && is_there(&server, &redis));
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn a_restart_without_its_data_loses_the_guard() {
    let server = own();
    let (locks, _) = brittle(&server).await;
    let ttl = TTL * 5;
    let guard = taken(&locks.with_renewal(), ttl).await;
    let began = Instant::now();
    server.restart(Data::Lost);
    tokio::time::timeout(HANG, guard.lost()).await.unwrap();
    assert!(began.elapsed() < ttl * 3 / 4, "by the renewal: {:?}", began.elapsed());
}

/// All threads of the runtime are as busy as tasks can make them that let others run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_runtime_does_not_starve_it() {
    let (locks, _) = locks().await;
    let guard = taken(&locks.with_renewal(), TTL).await;
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..32 {
        busy.spawn(async {
            loop {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tokio::time::sleep(TTL * 2).await;
    assert!(!guard.is_lost());
}

#[test]
fn a_runtime_that_ended_leaves_room_for_the_next() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (server, first) = (own(), runtime());
    let ours = first.block_on(async { Locks::new(redis_on(&server).await).with_renewal() });
    let guard = first.block_on(taken(&ours, LONG));
    let second = runtime();
    // Its task is on the first one, which ends, and the handle lives there as well.
    drop(first);
    assert!(second.block_on(ours.try_acquire("{lock}2", LONG)).is_err());
    drop(guard);
}
