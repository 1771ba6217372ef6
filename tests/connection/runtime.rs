//! On which runtime connections are kept.

use super::*;
use auth_adapter_redis::Locks;
use auth_adapter_redis::guard::Acquisition;
use tokio::runtime::Builder;

/// Who waits for a lock first does so on a runtime that nobody drives afterwards.
#[test]
fn a_wake_up_comes_whatever_became_of_the_runtime_of_the_first_who_waited() {
    let server = Server::start().unwrap();
    let main = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let parked = Builder::new_current_thread().enable_all().build().unwrap();
    let redis = main.block_on(redis_on(&server));
    let locks = Locks::new(redis);
    let held = |key: &'static str| {
        let locks = &locks;
        async move {
            let Acquisition::Acquired(guard) = locks.try_acquire(key, LONG).await.unwrap() else {
                panic!("free");
            };
            guard
        }
    };
    parked.block_on(async {
        let guard = held("first").await;
        let waited = locks.acquire("first", LONG, Duration::from_millis(50)).await;
        assert!(matches!(waited, Ok(Acquisition::Held { .. })), "{waited:?}");
        let _ = guard.release().await.unwrap();
    });
    main.block_on(async {
        let guard = held("k").await;
        let theirs = locks.clone();
        let waits = tokio::spawn(async move { theirs.acquire("k", LONG, HANG / 2).await });
        let queued = || server.command(&["EXISTS", "{k}:queue"]).unwrap().int() == Some(1);
        until(queued).await;
        let began = Instant::now();
        let _ = guard.release().await.unwrap();
        let got = waits.await.unwrap();
        assert!(matches!(got, Ok(Acquisition::Acquired(_))), "{got:?}");
        assert!(began.elapsed() < SLACK * 2, "{:?}", began.elapsed());
    });
}
