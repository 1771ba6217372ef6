//! The clock is stepped between a join and the grant: whoever waits is served all the same, and counts no
//! longer a lease than the server.

use auth_adapter_redis::testing::Proxy;

use super::*;

/// So that a step forward leaves the lock to its holder.
const HOURS: Duration = Duration::from_secs(3 * 3600);

/// Steps the clock while another waits for the lock, and then releases it: what the other has of it.
async fn served_after_a_step(server: &Stepped, seconds: i64, renewed: bool) -> LockGuard {
    let holder = taken(&Locks::new(direct(server).await), HOURS).await;
    let other = Locks::new(direct(server).await).with_owner("other").unwrap().with_fencing();
    let other = if renewed { other.with_renewal() } else { other };
    let waiter = tokio::spawn(async move { won(other.acquire("lock", LONG, HANG).await) });
    queued(&direct(server).await).await;
    server.step(seconds);
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    tokio::time::timeout(HANG, waiter).await.expect("it is served").unwrap()
}

/// From the moment in which it is served until the grant has long been taken up.
async fn is_sound(guard: LockGuard, server: &Stepped) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        is_no_longer_than_the_servers(&guard, server);
        assert!(!guard.is_lost(), "after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(guard.remaining() > LONG / 2, "it was taken up: {guard:?}");
    let held = server.command(&["GET", "lock"]).unwrap();
    assert!(held.text().unwrap().ends_with(":other"), "{held:?}");
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}

#[tokio::test]
async fn back() {
    for (seconds, renewed) in [(-HOUR, false), (-30, true)] {
        let server = Stepped::start();
        is_sound(served_after_a_step(&server, seconds, renewed).await, &server).await;
    }
}

/// The queue outlives the lesser step. After the greater one it is gone, and whoever waits finds the lock
/// free when they ask again.
#[tokio::test]
async fn forward() {
    for (seconds, renewed) in [(30, false), (HOUR, true)] {
        let server = Stepped::start();
        is_sound(served_after_a_step(&server, seconds, renewed).await, &server).await;
    }
}

/// The word of the grant is held up until the grant has ended, and another has the lock.
#[tokio::test]
async fn a_grant_that_is_heard_of_too_late_is_not_believed_whatever_the_clock_did() {
    for seconds in [-HOUR, -5, 5, 30] {
        let server = Stepped::start();
        let locks = Locks::new(direct(&server).await);
        let holder = taken(&locks, HOURS).await;
        let proxy = Proxy::to(&server).unwrap();
        let slow = quick(proxy.url()).call_deadline(HANG).build().unwrap();
        slow.connected().await;
        let slow = Locks::new(slow);
        // The grant is no longer than the lease.
        let (ttl, max_wait) = (Duration::from_millis(300), Duration::from_secs(3));
        let waiter =
            tokio::spawn(async move { slow.acquire("lock", ttl, max_wait).await.unwrap() });
        queued(&direct(&server).await).await;
        proxy.freeze_present();
        server.step(seconds);
        assert_eq!(holder.release().await.unwrap(), Release::Freed);
        let next = won(locks.acquire("lock", HOURS, HANG).await);
        proxy.thaw();
        let outcome = tokio::time::timeout(HANG, waiter).await.unwrap().unwrap();
        assert!(matches!(outcome, Acquisition::Held { .. }), "{seconds}: {outcome:?}");
        is_no_longer_than_the_servers(&next, &server);
        assert_eq!(next.release().await.unwrap(), Release::Freed);
    }
}
