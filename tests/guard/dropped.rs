//! A dropped guard releases its lock, wherever it is dropped.

use tokio::runtime::{Builder, Runtime};

use super::support::events;
use super::*;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn until_free(redis: &Redis) {
    let began = std::time::Instant::now();
    while value(redis).is_some() {
        assert!(began.elapsed() < super::support::HANG, "it is released");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[tokio::test]
async fn inside_its_runtime() {
    let (locks, redis) = locks().await;
    drop(taken(&locks, LONG).await);
    locks.close(LONG).await.unwrap();
    assert_eq!(value(&redis), None);
}

#[test]
fn outside_any_runtime() {
    let runtime = runtime();
    let (locks, redis) = runtime.block_on(locks());
    let guard = runtime.block_on(taken(&locks, LONG));
    drop(guard);
    until_free(&redis);
    let guard = runtime.block_on(taken(&locks, LONG));
    std::thread::spawn(move || drop(guard)).join().unwrap();
    until_free(&redis);
}

#[test]
fn inside_another_runtime() {
    let (ours, another) = (runtime(), Builder::new_current_thread().build().unwrap());
    let (locks, redis) = ours.block_on(locks());
    let guard = ours.block_on(taken(&locks, LONG));
    another.block_on(async move { drop(guard) });
    drop(another);
    until_free(&redis);
}

#[test]
fn after_its_runtime_has_ended_the_lock_ends_with_its_lease() {
    let (log, _listening) = events();
    for renews in [false, true] {
        let runtime = runtime();
        let (mut locks, redis) = runtime.block_on(locks());
        if renews {
            locks = locks.with_renewal();
        }
        let guard = runtime.block_on(taken(&locks, LONG));
        drop(runtime);
        assert!(!guard.is_lost());
        drop(guard);
        assert!(value(&redis).is_some());
        assert_eq!(log.count("left to end with its lease"), 1 + usize::from(renews));
    }
}

/// A runtime that ends while a task of it has a guard.
#[test]
fn while_its_runtime_ends() {
    let runtime = runtime();
    let (locks, redis) = runtime.block_on(locks());
    let guard = runtime.block_on(taken(&locks.with_renewal(), LONG));
    runtime.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    drop(runtime);
    assert!(raw(&redis, "PTTL", "lock", &[]).int().unwrap() > 0, "it ends with its lease");
}

/// Where even what belongs to a thread is being dropped.
#[test]
fn at_the_end_of_a_thread() {
    thread_local! {
        static LAST: std::cell::RefCell<Option<LockGuard>> = const { std::cell::RefCell::new(None) };
    }
    let runtime = runtime();
    let (locks, redis) = runtime.block_on(locks());
    let guard = runtime.block_on(taken(&locks, LONG));
    std::thread::spawn(move || LAST.with(|last| *last.borrow_mut() = Some(guard))).join().unwrap();
    until_free(&redis);
}
