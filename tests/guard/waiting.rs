//! Waiting without polling: who is served when, and what is done where a wake-up is lost.

use std::time::Instant;

use auth_adapter_redis::lock::{Join, Leases, Place, Told};
use tokio::task::JoinHandle;

use super::support::target::{own_behind_proxy, shared};
use super::support::{HANG, SHORT, patient, until};
use super::*;

/// Long before one would ask again, also on a busy machine.
const PUSHED: Duration = Duration::from_millis(700);

/// Locks of another process, as it were: with connections of their own.
async fn process(like: &Redis, name: &str) -> Locks {
    let redis = patient(shared()).prefix(like.prefix()).build().unwrap();
    redis.connected().await;
    Locks::new(redis).with_owner(name).unwrap()
}

/// One who waits, and is in the queue by now.
async fn waiting(locks: &Locks, redis: &Redis, places: u64) -> JoinHandle<LockGuard> {
    let waiter = tokio::spawn({
        let locks = locks.clone();
        async move { won(locks.acquire("lock", LONG, LONG).await) }
    });
    queued(redis, places).await;
    waiter
}

pub async fn queued(redis: &Redis, places: u64) {
    let leases = Leases::new(redis.clone());
    let wait = async {
        while leases.inspect("lock").await.unwrap().is_none_or(|held| held.waiters != places) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("they come to be in the queue");
}

/// So much later that a call which a busy machine delays changes no order.
async fn later() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

async fn within<T>(waiter: JoinHandle<T>) -> T {
    tokio::time::timeout(HANG, waiter).await.expect("it is served").unwrap()
}

#[tokio::test]
async fn a_release_hands_over_to_whoever_came_first_and_soon() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    let mut waiters = Vec::new();
    for place in 1..=3 {
        let locks = process(&redis, &format!("p{place}")).await;
        waiters.push(waiting(&locks, &redis, place).await);
    }
    let mut holder = holder;
    for (place, waiter) in (1..).zip(waiters) {
        let began = Instant::now();
        assert_eq!(holder.release().await.unwrap(), Release::Freed);
        holder = within(waiter).await;
        assert_eq!(holder.owner(), format!("p{place}"));
        assert!(began.elapsed() < PUSHED, "{:?}", began.elapsed());
        assert!(value(&redis).unwrap().ends_with(&format!(":p{place}")));
    }
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    assert_eq!(value(&redis), None);
}

#[tokio::test]
async fn a_grant_is_taken_up_for_all_of_the_ttl() {
    let (locks, redis) = locks().await;
    for renewed in [false, true] {
        let holder = taken(&locks, LONG).await;
        let other = process(&redis, "other").await;
        let other = if renewed { other.with_renewal() } else { other };
        let waiter = waiting(&other, &redis, 1).await;
        drop(holder);
        let guard = within(waiter).await;
        assert!(!guard.is_lost() && guard.fence().is_none());
        until(|| guard.remaining() > LONG / 2).await;
        assert!(raw(&redis, "PTTL", "lock", &[]).int().unwrap() > 30_000);
        assert_eq!(guard.release().await.unwrap(), Release::Freed);
    }
}

#[tokio::test]
async fn a_grant_mints_a_fence_above_the_one_before() {
    for evicted in [false, true] {
        let (locks, redis) = locks().await;
        let locks = locks.with_fencing();
        let holder = taken(&locks, LONG).await;
        let other = process(&redis, "other").await.with_fencing();
        let waiter = waiting(&other, &redis, 1).await;
        let before = holder.fence().unwrap();
        if evicted {
            let counter = format!("{{{}lock}}:fence", redis.prefix());
            assert_eq!(raw(&redis, "DEL", &counter, &[]).int(), Some(1));
        }
        drop(holder);
        let guard = within(waiter).await;
        assert!(guard.fence().unwrap() > before);
        let seen = Leases::new(redis).inspect("lock").await.unwrap().unwrap();
        assert_eq!(seen.fence, guard.fence());
    }
}

#[tokio::test]
async fn those_of_one_process_share_a_place_and_are_served_in_turn() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    let (crowd, other) = (process(&redis, "crowd").await, process(&redis, "other").await);
    let (tell, mut served) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..4 {
        let (crowd, tell) = (crowd.clone(), tell.clone());
        tokio::spawn(async move {
            let guard = won(crowd.acquire("lock", LONG, LONG).await);
            tell.send((number, guard)).unwrap();
        });
        queued(&redis, 1).await;
        later().await;
    }
    let last = waiting(&other, &redis, 2).await;
    drop(holder);
    for (number, places) in [(0, 2), (1, 2), (2, 2), (3, 1)] {
        let next = tokio::time::timeout(HANG, served.recv()).await.unwrap().unwrap();
        assert_eq!(next.0, number);
        // The next of its process has taken the place by now.
        queued(&redis, places).await;
        assert_eq!(next.1.release().await.unwrap(), Release::Freed);
    }
    assert_eq!(within(last).await.release().await.unwrap(), Release::Freed);
}

/// The oldest who waits in a process decides where it stands, whoever is served in between.
#[tokio::test]
async fn a_process_stands_where_its_oldest_came() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    let (one, two) = (process(&redis, "one").await, process(&redis, "two").await);
    let first = waiting(&one, &redis, 1).await;
    // It waits behind the first of its process, and came before the other process.
    let second = tokio::spawn({
        let one = one.clone();
        async move { won(one.acquire("lock", LONG, LONG).await) }
    });
    later().await;
    let third = waiting(&two, &redis, 2).await;
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let guard = within(first).await;
    assert_eq!(guard.owner(), "one");
    queued(&redis, 2).await;
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    let guard = within(second).await;
    assert!(!third.is_finished());
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    assert_eq!(within(third).await.owner(), "two");
}

#[tokio::test]
async fn one_who_gives_up_leaves_no_place() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    let other = process(&redis, "other").await;
    let outcome = other.acquire("lock", LONG, SHORT).await.unwrap();
    assert!(matches!(outcome, Acquisition::Held { left: Some(_) }), "{outcome:?}");
    other.close(HANG).await.unwrap();
    queued(&redis, 0).await;
    let other = process(&redis, "other").await;
    waiting(&other, &redis, 1).await.abort();
    queued(&redis, 0).await;
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    other.close(HANG).await.unwrap();
    assert_eq!(value(&redis), None);
}

#[tokio::test]
async fn one_who_waits_is_told_that_the_locks_were_closed() {
    let (locks, redis) = locks().await;
    let _holder = taken(&locks, LONG).await;
    let other = process(&redis, "other").await;
    let waiter = tokio::spawn({
        let other = other.clone();
        async move { other.acquire("lock", LONG, LONG).await.map(drop) }
    });
    queued(&redis, 1).await;
    other.close(HANG).await.unwrap();
    let held = locks.leases().inspect("lock").await.unwrap().unwrap();
    assert_eq!(held.waiters, 0, "its place is left when it is closed");
    let error = within(waiter).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

/// The grant ends, and whoever is next finds that out by asking.
#[tokio::test]
async fn the_next_is_served_where_a_grant_is_not_taken_up() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    // In the queue, and nobody will take up what it is granted.
    let ghost = Leases::new(redis.clone()).with_owner("ghost").unwrap();
    let place = Place::new(Told::Never, Duration::from_millis(200)).unwrap();
    let outcome = ghost.join("lock", holder.token(), LONG, &place, LONG).await.unwrap();
    assert!(matches!(outcome, Join::Queued { .. }), "{outcome:?}");
    let other = process(&redis, "other").await;
    let waiter = waiting(&other, &redis, 2).await;
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    assert!(value(&redis).unwrap().ends_with(":ghost"));
    let guard = tokio::time::timeout(Duration::from_secs(3), waiter).await.unwrap().unwrap();
    assert_eq!(guard.owner(), "other");
}

/// A lease that ends is noticed when it does, not at the next re-check.
#[tokio::test]
async fn a_lease_that_ends_is_awaited_by_what_was_left_of_it() {
    let (_, redis) = locks().await;
    raw(&redis, "SET", "lock", &["dead", "PX", "400"]);
    let began = Instant::now();
    let other = process(&redis, "other").await;
    let guard = won(other.acquire("lock", LONG, LONG).await);
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_millis(390) && waited < Duration::from_millis(900),
        "{waited:?}"
    );
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}

/// On a server of the test's own, past the proxy that is before it.
pub async fn direct(server: &Own) -> Redis {
    let redis = quick(server.unix_url()).call_deadline(HANG).build().unwrap();
    redis.connected().await;
    redis
}

/// A wake-up that does not come costs one re-check.
#[tokio::test]
async fn one_whose_connections_fall_silent_is_served_all_the_same() {
    let server = own_behind_proxy();
    let direct = direct(&server).await;
    let holder = won(Locks::new(direct.clone()).acquire("lock", LONG, LONG).await);
    let (other, _) = brittle(&server).await;
    let waiter = tokio::spawn(async move { won(other.acquire("lock", LONG, LONG).await) });
    queued(&direct, 1).await;
    server.proxy().freeze_present();
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let guard = within(waiter).await;
    assert!(!guard.is_lost());
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
}

/// One whose connection is cut takes its place again on the next one.
#[tokio::test]
async fn those_whose_connections_are_cut_keep_their_order() {
    let server = own_behind_proxy();
    let direct = direct(&server).await;
    let places = || {
        let queue = format!("{{{}lock}}:queue", direct.prefix());
        let told = server.command(&["ZRANGE", &queue, "0", "-1"]).unwrap();
        let places = told.array().unwrap().iter();
        places.map(|place| place.text().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let holder = won(Locks::new(direct.clone()).acquire("lock", LONG, LONG).await);
    let mut waiters = Vec::new();
    for (place, name) in (1..).zip(["one", "two"]) {
        let locks = Locks::new(redis_on(&server).await).with_owner(name).unwrap();
        waiters.push(waiting(&locks, &direct, place).await);
    }
    let before = places();
    server.proxy().cut();
    until(|| {
        let now = places();
        now.len() == 2 && now.iter().all(|place| !before.contains(place))
    })
    .await;
    let mut holder = holder;
    for (waiter, name) in waiters.into_iter().zip(["one", "two"]) {
        let began = Instant::now();
        assert_eq!(holder.release().await.unwrap(), Release::Freed);
        holder = within(waiter).await;
        assert_eq!(holder.owner(), name);
        assert!(began.elapsed() < PUSHED, "{:?}", began.elapsed());
    }
}

/// What stands beside them differs, also where one key is the other's hash tag.
#[tokio::test]
async fn locks_whose_keys_are_alike_have_no_queue_in_common() {
    let (locks, redis) = locks().await;
    let holder = taken(&locks, LONG).await;
    let tagged = won(locks.try_acquire(&format!("{{{}lock}}", redis.prefix()), LONG).await);
    let other = process(&redis, "other").await;
    let waiter = waiting(&other, &redis, 1).await;
    assert_eq!(tagged.release().await.unwrap(), Release::Freed);
    queued(&redis, 1).await;
    assert!(!waiter.is_finished() && !holder.is_lost());
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    assert_eq!(within(waiter).await.key(), "lock");
}

/// A connection of the caller's hears nothing: its holder asks, and has its place like others.
#[tokio::test]
async fn one_who_can_hear_nothing_is_served_in_turn() {
    let server = own();
    let client = auth_adapter_redis::redis::Client::open(server.unix_url()).unwrap();
    let redis = Redis::from(client.get_multiplexed_async_connection().await.unwrap());
    let redis = redis.with_call_deadline(HANG).unwrap();
    let direct = direct(&server).await;
    let holder = won(Locks::new(direct.clone()).acquire("lock", LONG, LONG).await);
    let deaf = Locks::new(redis).with_owner("deaf").unwrap();
    let first = waiting(&deaf, &direct, 1).await;
    let second = waiting(&Locks::new(direct.clone()), &direct, 2).await;
    assert_eq!(holder.release().await.unwrap(), Release::Freed);
    let guard = within(first).await;
    assert_eq!(guard.owner(), "deaf");
    assert!(!second.is_finished());
    assert_eq!(guard.release().await.unwrap(), Release::Freed);
    let _last = within(second).await;
}
