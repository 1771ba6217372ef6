//! A guard says lost in time, by its own clock, and for good.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use auth_adapter_redis::guard::LockLost;

use super::support::target::own_behind_proxy;
use super::support::{HANG, SLACK};
use super::*;

const TTL: Duration = Duration::from_millis(400);
/// What a busy machine may add until a task that is told goes on.
const LATE: Duration = Duration::from_secs(5);

/// Waits until the guard is lost, and checks that this is neither before nor after what it said.
async fn lost_in_time(guard: &LockGuard) {
    let ends = Instant::now() + guard.remaining();
    let told = tokio::spawn(guard.lost());
    while Instant::now() < ends {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(guard.is_lost() && guard.remaining().is_zero());
    tokio::time::timeout(LATE, told).await.expect("it is told").unwrap();
}

#[tokio::test]
async fn a_guard_whose_redis_hangs_is_lost_in_time() {
    for renews in [false, true] {
        let server = own_behind_proxy();
        let (mut locks, _) = brittle(&server).await;
        if renews {
            locks = locks.with_renewal();
        }
        let guard = taken(&locks, TTL).await;
        server.proxy().black_hole();
        lost_in_time(&guard).await;
    }
}

#[tokio::test]
async fn a_guard_whose_server_is_stopped_is_lost_in_time() {
    for renews in [false, true] {
        let server = own();
        let (mut locks, _) = brittle(&server).await;
        if renews {
            locks = locks.with_renewal();
        }
        let guard = taken(&locks, TTL).await;
        server.pause().unwrap();
        lost_in_time(&guard).await;
        server.resume().unwrap();
        // Whatever the server does with what it was sent meanwhile: lost is final.
        let _ = locks.close(SLACK).await;
        assert!(guard.is_lost());
        assert_eq!(guard.extend(LONG).await.unwrap(), Extend::NotOurs);
    }
}

/// By the time that the guard lost trust, the server still had the lock: nobody else could.
#[tokio::test]
async fn the_guard_is_lost_before_the_server_frees_the_lock() {
    let (locks, redis) = locks().await;
    for _ in 0..5 {
        let guard = taken(&locks, TTL / 4).await;
        while !guard.is_lost() {
            let server = raw(&redis, "PTTL", "lock", &[]).int().unwrap();
            assert!(server > 0 || guard.is_lost(), "the server freed it before");
        }
        let _ = guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn an_extend_that_finds_it_gone_loses_it_for_good() {
    let (locks, redis) = locks().await;
    let guard = taken(&locks, LONG).await;
    let lost = tokio::spawn(guard.lost());
    raw(&redis, "DEL", "lock", &[]);
    assert_eq!(guard.extend(LONG).await.unwrap(), Extend::NotOurs);
    assert!(guard.is_lost());
    tokio::time::timeout(HANG, lost).await.expect("it is told at once").unwrap();
    assert_eq!(guard.run(async {}).await, Err(LockLost));
    assert_eq!(guard.extend(LONG).await.unwrap(), Extend::NotOurs);
    assert_eq!(value(&redis), None, "nothing brings it back");
}

#[tokio::test]
async fn an_extend_whose_answer_comes_too_late_does_not_bring_it_back() {
    let server = own_behind_proxy();
    let redis = redis_on(&server).await;
    let locks = Locks::new(redis.clone());
    auth_adapter_redis::script::library().load(&redis).await.unwrap();
    let guard = taken(&locks, LATE).await;
    server.proxy().delay(LATE);
    let outcome = guard.extend(LONG).await.unwrap();
    assert_eq!(outcome, Extend::NotOurs);
    assert!(guard.is_lost());
    assert!(is_there(&server, &redis), "the server had extended it");
    server.proxy().pass();
    // Only the guard lost its trust: the release frees what the server still has.
    let _ = guard.release().await;
    locks.close(HANG).await.unwrap();
    assert!(!is_there(&server, &redis));
}

/// Sets it when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn run_gives_what_the_work_gives() {
    let (locks, _) = locks().await;
    let guard = taken(&locks, LONG).await;
    assert_eq!(guard.run(async { 42 }).await, Ok(42));
    let waits = async {
        tokio::task::yield_now().await;
        "done"
    };
    assert_eq!(guard.run(waits).await, Ok("done"));
}

#[tokio::test]
async fn run_stops_the_work_when_the_lock_is_lost() {
    let server = own_behind_proxy();
    let (locks, _) = brittle(&server).await;
    let guard = taken(&locks, TTL).await;
    server.proxy().black_hole();
    let stopped = Arc::new(AtomicBool::new(false));
    let dropped = Dropped(Arc::clone(&stopped));
    let work = async move {
        let _dropped = dropped;
        std::future::pending::<()>().await;
    };
    let outcome = tokio::time::timeout(HANG, guard.run(work)).await.unwrap();
    assert_eq!(outcome, Err(LockLost));
    assert!(stopped.load(Ordering::SeqCst));
}

/// Its steps follow each other so fast that the runtime comes to its timers only now and then.
#[tokio::test]
async fn run_stops_work_that_never_lets_a_timer_fire() {
    let (locks, _) = locks().await;
    let guard = Arc::new(taken(&locks, TTL / 4).await);
    let late = Arc::new(AtomicUsize::new(0));
    let (asked, counted) = (Arc::clone(&guard), Arc::clone(&late));
    let work = poll_fn(move |context| {
        counted.fetch_add(usize::from(asked.is_lost()), Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        context.waker().wake_by_ref();
        Poll::<()>::Pending
    });
    // A task of its own: around what the test itself awaits the timers come each time.
    let task = tokio::spawn(async move { guard.run(work).await });
    assert_eq!(task.await.unwrap(), Err(LockLost));
    // One can be lost between the question of `run` and that of the step.
    let late = late.load(Ordering::SeqCst);
    assert!(late <= 1, "{late} steps began when the lock was lost");
}

#[tokio::test]
async fn run_does_not_tell_of_work_that_ended_too_late() {
    let (locks, _) = locks().await;
    let guard = taken(&locks, TTL / 4).await;
    let outcome = guard.run(async { std::thread::sleep(TTL / 2) }).await;
    assert_eq!(outcome, Err(LockLost));
}

#[tokio::test]
async fn a_release_ends_what_awaits_the_loss() {
    let (locks, _) = locks().await;
    let guard = taken(&locks, LONG).await;
    let lost = tokio::spawn(guard.lost());
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    tokio::time::timeout(HANG, lost).await.expect("it is told at once").unwrap();
}
