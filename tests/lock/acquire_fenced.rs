//! A hold with a number, which rises with each hold whatever comes between.

use std::sync::Arc;

use auth_adapter_redis::Fence;
use auth_adapter_redis::lock::AcquireFenced;
use auth_adapter_redis::testing::Data;

use super::support::target::own_with;
use super::*;

const DAY: i64 = 24 * 60 * 60 * 1000;
const HOUR_MICROS: u64 = 3_600_000_000;

/// The counter of `lock`, which a handle's prefix is a part of.
pub fn counter(redis: &Redis) -> String {
    format!("{{{}lock}}:fence", redis.prefix())
}

async fn run_fenced(redis: &Redis, holder: &str, ttl: i64) -> Result<(i64, i64), Error> {
    let call = on_lock("lock/acquire_fenced", redis).key("fence", &counter(redis));
    call.arg("holder", holder).arg("ttl", ttl).run().await
}

pub async fn fenced(locks: &Leases) -> (LockToken, Fence) {
    match locks.acquire_fenced("lock", LONG).await.unwrap() {
        AcquireFenced::Acquired { token, fence } => (token, fence),
        other => panic!("expected the lock, got {other:?}"),
    }
}

/// The server's clock in microseconds.
fn now(place: &impl support::target::Place, redis: &Redis) -> u64 {
    // On a cluster the one that has the lock.
    let script = "local time = redis.call('TIME') return time[1] * 1000000 + time[2]";
    let lock = format!("{}lock", redis.prefix());
    let told = place.command(&["EVAL", script, "1", &lock]).unwrap();
    told.int().unwrap().unsigned_abs()
}

#[tokio::test]
async fn gives_acquired_and_the_servers_microseconds_where_no_fence_is_greater() {
    let redis = redis().await;
    let before = now(support::target::shared(), &redis);
    let (told, number) = run_fenced(&redis, &holder('a'), LEASE).await.unwrap();
    let after = now(support::target::shared(), &redis);
    assert_eq!((told, value(&redis)), (0, Some(holder('a'))));
    assert!((before..=after).contains(&number.unsigned_abs()), "{before} {number} {after}");
    assert!((LEASE - 5_000..=LEASE).contains(&pttl(&redis)));
}

#[tokio::test]
async fn gives_held_for_as_long_as_anothers_lease_and_mints_nothing() {
    let redis = redis().await;
    run_acquire(&redis, &holder('a'), LEASE).await.unwrap();
    let (left, number) = run_fenced(&redis, &holder('b'), 5).await.unwrap();
    assert!((LEASE - 5_000..=LEASE).contains(&left) && number == 0, "{left} {number}");
    assert!(raw(&redis, "GET", &counter(&redis), &[]).is_nil());
    raw(&redis, "PERSIST", "lock", &[]);
    assert_eq!(run_fenced(&redis, &holder('b'), 5).await.unwrap(), (-1, 0));
    assert_eq!(value(&redis), Some(holder('a')));
}

#[tokio::test]
async fn fails_wrongtype_and_takes_no_lock() {
    let (locks, redis) = locks().await;
    raw(&redis, "LPUSH", &counter(&redis), &["x"]);
    assert_server(locks.acquire_fenced("lock", LONG).await, ServerErrorKind::WrongType);
    assert_eq!(value(&redis), None);
    raw(&redis, "DEL", &counter(&redis), &[]);
    raw(&redis, "LPUSH", "lock", &["x"]);
    assert_server(locks.acquire_fenced("lock", LONG).await, ServerErrorKind::WrongType);
    assert!(raw(&redis, "GET", &counter(&redis), &[]).is_nil());
}

#[tokio::test]
async fn fails_badvalue_where_the_counter_is_something_else() {
    let (locks, redis) = locks().await;
    for foreign in ["", "x", "7", ":", "-1:x", "12345678901234567:x"] {
        raw(&redis, "SET", &counter(&redis), &[foreign]);
        let error = locks.acquire_fenced("lock", LONG).await.unwrap_err().to_string();
        assert!(error.contains("BADVALUE"), "{foreign}: {error}");
        assert_eq!(value(&redis), None);
        assert_eq!(raw(&redis, "GET", &counter(&redis), &[]).text(), Some(foreign));
    }
}

#[tokio::test]
async fn fails_oom_on_a_full_server_and_leaves_nothing() {
    let server = full_server();
    let redis = redis_on(&server).await;
    let outcome = Leases::new(redis.clone()).acquire_fenced("lock", LONG).await;
    assert_server(outcome, ServerErrorKind::OutOfMemory);
    for key in ["lock", &counter(&redis)] {
        assert_eq!(raw_on(&server, &redis, "EXISTS", key, &[]).int(), Some(0));
    }
}

#[tokio::test]
async fn a_retry_finds_its_own_lock_and_its_own_fence() {
    let redis = redis().await;
    let first = run_fenced(&redis, &holder('a'), 10_000).await.unwrap();
    assert_eq!(run_fenced(&redis, &holder('a'), LEASE).await.unwrap(), first);
    assert!(pttl(&redis) > LEASE - 5_000);
    assert_eq!(run_fenced(&redis, &holder('a'), 1).await.unwrap(), first);
    assert!(pttl(&redis) > LEASE - 5_000, "a retry shortens nothing");
    assert!(raw(&redis, "PTTL", &counter(&redis), &[]).int().unwrap() > DAY + LEASE - 5_000);
}

#[tokio::test]
async fn a_retry_of_one_without_a_fence_gets_a_new_one() {
    let redis = redis().await;
    let (_, old) = run_fenced(&redis, &holder('a'), LEASE).await.unwrap();
    expire(&redis);
    run_acquire(&redis, &holder('b'), LEASE).await.unwrap();
    let (told, number) = run_fenced(&redis, &holder('b'), LEASE).await.unwrap();
    assert!(told == 0 && number > old, "{told} {number} {old}");
}

/// The counter is evicted between a lost reply and the retry.
#[tokio::test]
async fn a_retry_whose_counter_is_gone_gets_a_greater_one() {
    let redis = redis().await;
    let (_, first) = run_fenced(&redis, &holder('a'), LEASE).await.unwrap();
    assert_eq!(raw(&redis, "DEL", &counter(&redis), &[]).int(), Some(1));
    let (told, second) = run_fenced(&redis, &holder('a'), LEASE).await.unwrap();
    assert!(told == 0 && second > first, "{told} {second} {first}");
    assert_eq!(run_fenced(&redis, &holder('a'), LEASE).await.unwrap().1, second);
}

#[tokio::test]
async fn it_rises_with_each_hold_whatever_comes_between() {
    let (locks, redis) = locks().await;
    let mut last = None;
    for round in 0..100 {
        let (token, fence) = fenced(&locks).await;
        assert!(Some(fence) > last, "round {round}: {fence} after {last:?}");
        last = Some(fence);
        match round % 4 {
            0 => assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed),
            1 => expire(&redis),
            // The counter is evicted, alone or with the lock.
            2 => {
                expire(&redis);
                assert_eq!(raw(&redis, "DEL", &counter(&redis), &[]).int(), Some(1));
            }
            _ => {
                expire(&redis);
                let unfenced = acquired(&locks, LONG).await;
                assert_eq!(locks.release("lock", &unfenced).await.unwrap(), Release::Freed);
            }
        }
    }
}

#[tokio::test]
async fn it_rises_over_a_flush_and_over_a_restart_that_forgets() {
    let server = own_with(&["--save", ""]);
    let redis = redis_on(&server).await;
    let locks = Leases::new(redis.clone());
    let (_, first) = fenced(&locks).await;
    assert_eq!(server.command(&["FLUSHALL"]).unwrap().text(), Some("OK"));
    let (_, second) = fenced(&locks).await;
    server.restart(Data::Lost);
    support::comes_alive(&redis).await;
    let (_, third) = fenced(&locks).await;
    assert!(first < second && second < third, "{first} {second} {third}");
}

/// The clock went back after the last hold: its fence is ahead of it.
#[tokio::test]
async fn a_clock_that_goes_back_lets_no_fence_fall() {
    let (locks, redis) = locks().await;
    let ahead = now(support::target::shared(), &redis) + HOUR_MICROS;
    raw(&redis, "SET", &counter(&redis), &[&format!("{ahead}:{}", holder('z'))]);
    let (_, fence) = fenced(&locks).await;
    assert_eq!(fence.as_u64(), ahead + 1);
    expire(&redis);
    let (_, next) = fenced(&locks).await;
    assert_eq!(next.as_u64(), ahead + 2);
    // It stays until the clock is where it was, and the day after.
    let stays = raw(&redis, "PTTL", &counter(&redis), &[]).int().unwrap();
    let hour = HOUR_MICROS as i64 / 1000;
    assert!((hour + DAY..=hour + DAY + LEASE).contains(&stays), "{stays}");
}

#[tokio::test]
async fn the_counter_of_a_dead_name_ends_a_day_after_its_lease() {
    let (locks, redis) = locks().await;
    let (token, _) = fenced(&locks).await;
    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
    let stays = raw(&redis, "PTTL", &counter(&redis), &[]).int().unwrap();
    assert!((DAY + LEASE - 5_000..=DAY + LEASE).contains(&stays), "{stays}");
}

#[tokio::test]
async fn a_key_with_a_hash_tag_keeps_it() {
    let (locks, redis) = locks().await;
    let outcome = locks.acquire_fenced("{42}:lock", LONG).await.unwrap();
    assert!(matches!(outcome, AcquireFenced::Acquired { .. }), "{outcome:?}");
    assert!(raw(&redis, "GET", "{42}:lock::fence", &[]).text().is_some());
    // One that cannot become a tag has its counter in its slot all the same.
    let outcome = locks.acquire_fenced("a}b", LONG).await.unwrap();
    assert!(matches!(outcome, AcquireFenced::Acquired { .. }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_in_a_race_get_fences_in_the_order_of_their_holds() {
    let (locks, _) = locks().await;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (locks, order) = (locks.clone(), Arc::clone(&order));
        tasks.spawn(async move {
            let mut held = 0;
            while held < 20 {
                let outcome = locks.acquire_fenced("lock", LONG).await.unwrap();
                if let AcquireFenced::Acquired { token, fence } = outcome {
                    order.lock().unwrap().push(fence);
                    assert_eq!(locks.release("lock", &token).await.unwrap(), Release::Freed);
                    held += 1;
                }
            }
        });
    }
    tasks.join_all().await;
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 16 * 20);
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let server = own();
    let locks = Leases::new(redis_on(&server).await);
    for (key, ttl) in [("", LONG), ("a\nb", LONG), ("k", Duration::ZERO), ("k", Duration::MAX)] {
        let outcome = locks.acquire_fenced(key, ttl).await;
        assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{key} {outcome:?}");
    }
    assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
}
