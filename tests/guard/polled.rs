//! Every future can be dropped at every await: it is polled n times and dropped, for n from 1 until it
//! completes.

use std::future::poll_fn;
use std::task::Poll;

use super::support::HANG;
use super::*;

/// What the future comes to, or none where it was dropped after so many polls.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut polls = 0;
    let outcome = poll_fn(|context| {
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    outcome.await
}

/// What an acquire meets.
#[derive(Clone, Copy, Debug)]
enum Meets {
    Free,
    NoScripts,
    HeldForAWhile,
}

#[tokio::test]
async fn no_acquire_leaves_a_lock() {
    let server = own();
    let redis = redis_on(&server).await;
    let ours = |locks: &Locks| {
        let value = raw_on(&server, &redis, "GET", "lock", &[]);
        value.text().is_some_and(|value| value.ends_with(locks.owner()))
    };
    for meets in [Meets::Free, Meets::NoScripts, Meets::HeldForAWhile] {
        for waits in [false, true] {
            let mut drops = 0;
            for times in 1.. {
                match meets {
                    Meets::Free => {}
                    Meets::NoScripts => server.flush_scripts().unwrap(),
                    Meets::HeldForAWhile => {
                        drop(raw_on(&server, &redis, "SET", "lock", &["theirs", "PX", "150"]));
                    }
                }
                let locks = Locks::new(redis.clone()).with_owner("test").unwrap().with_renewal();
                let outcome = if waits {
                    polled(locks.acquire("lock", LONG, LONG), times).await
                } else {
                    polled(locks.try_acquire("lock", LONG), times).await
                };
                let is_complete = outcome.is_some();
                if let Some(Acquisition::Acquired(guard)) = outcome.map(Result::unwrap) {
                    assert!(ours(&locks));
                    drop(guard);
                }
                let left = raw_on(&server, &redis, "PTTL", "lock", &[]).int().unwrap();
                assert!(left != -1 && left <= 60_000, "{meets:?}, {waits}, {times}: {left}");
                locks.close(HANG).await.unwrap();
                assert!(!ours(&locks), "{meets:?}, {waits}, dropped after {times} polls");
                raw_on(&server, &redis, "DEL", "lock", &[]);
                if is_complete {
                    break;
                }
                drops += 1;
            }
            assert!(drops > 0, "{meets:?}, {waits}: it never waited");
        }
    }
}

#[tokio::test]
async fn no_release_leaves_a_lock() {
    let (locks, redis) = locks().await;
    for times in 1.. {
        let locks = Locks::new(redis.clone()).with_owner(locks.owner()).unwrap().with_renewal();
        let outcome = polled(taken(&locks, LONG).await.release(), times).await;
        locks.close(HANG).await.unwrap();
        assert_eq!(value(&redis), None, "dropped after {times} polls");
        if let Some(outcome) = outcome {
            assert_eq!(outcome.unwrap(), Release::Freed);
            assert!(times > 1);
            return;
        }
    }
}

#[tokio::test]
async fn no_extend_shortens_what_there_is() {
    let (locks, _) = locks().await;
    let guard = taken(&locks, LONG).await;
    for times in 1.. {
        let outcome = polled(guard.extend(LONG * 2), times).await;
        assert!(!guard.is_lost() && guard.remaining() > LONG / 2);
        if let Some(outcome) = outcome {
            assert!(matches!(outcome.unwrap(), Extend::Extended { left } if left > LONG));
            return;
        }
    }
}
