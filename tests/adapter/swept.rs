//! Deletes past the bound, and deletes that some are refused: what is withheld, and for how long.

use super::missed::{is_there, made_up_for, on};
use super::*;
use auth_adapter_redis::cache::Read;
use auth_adapter_redis::lock::{Acquire, Leases};
use auth_adapter_redis::rate::{Check, Quota};
use auth_adapter_redis::testing::{Proxy, Server};
use auth_adapter_redis::{Cache, RateLimiter};
use std::time::Instant;

/// Owes a delete of this key, as whoever drops it halfway does.
async fn owes(adapter: &RedisCacheAdapter, key: &str) {
    tokio::select! {
        biased;
        () = adapter.delete(key) => panic!("it cannot be done yet"),
        () = std::future::ready(()) => {}
    }
}

/// A user of a server of the test's own, through a proxy.
async fn as_user(rights: &str) -> (RedisCacheAdapter, Server, Proxy) {
    let server = Server::builder().acl(format!("user u on >pw {rights}")).start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let url = proxy.url().replace("redis://", "redis://u:pw@");
    let redis = quick(url).call_deadline(DEADLINE).build().unwrap();
    comes_alive(&redis).await;
    (RedisCacheAdapter::new(redis), server, proxy)
}

/// What only begins as a cached key does is not deleted with these.
#[tokio::test]
async fn locks_limits_and_states_stay() {
    let server = own();
    let redis = quick(server.url()).call_deadline(LONG).build().unwrap();
    comes_alive(&redis).await;
    let adapter = RedisCacheAdapter::new(redis.clone()).with_missed_deletes(0);
    let (leases, limiter) = (Leases::new(redis.clone()), RateLimiter::new(redis.clone()));
    let quota = Quota::per_hour(1);
    adapter.set("user:1", "v", LONG).await;
    assert!(matches!(leases.acquire("user:1:lock", LONG).await, Ok(Acquire::Acquired(_))));
    assert!(matches!(limiter.check("user:1:login", &quota, 1).await, Ok(Check::Allowed { .. })));
    raw_on(&server, &redis, "SET", "user:a\nb", &["foreign, and no key of ours"]);
    owes(&adapter, "user:2").await;
    made_up_for(&adapter).await;
    assert!(!is_there(&server, "user:1"));
    assert!(matches!(leases.acquire("user:1:lock", LONG).await, Ok(Acquire::Held { .. })));
    assert!(matches!(limiter.check("user:1:login", &quota, 1).await, Ok(Check::Denied { .. })));
}

/// A key that this user may not touch has all that goes with it refused.
#[tokio::test]
async fn one_key_that_is_denied_keeps_no_other_from_being_deleted() {
    let (adapter, server, proxy) = as_user("~ok:* ~user:* &* +@all").await;
    let adapter = adapter.with_missed_deletes(3);
    for key in ["ok:flag", "user:1"] {
        adapter.set(key, "v", LONG).await;
    }
    adapter.delete("denied").await;
    proxy.black_hole();
    for key in ["ok:flag", "ok:other", "user:1"] {
        adapter.delete(key).await;
    }
    assert_eq!(adapter.health().patterns_pending, ["user:*"]);
    proxy.pass();
    until(|| adapter.health().deletes_pending == 1).await;
    until(|| adapter.health().patterns_pending.is_empty()).await;
    assert!(!is_there(&server, "ok:flag") && !is_there(&server, "user:1"));
    adapter.set("ok:flag", "v", LONG).await;
    assert_eq!(adapter.get("ok:flag").await.as_deref(), Some("v"), "it withholds itself alone");
}

/// Each of them has the log-out that it belongs to refused.
#[tokio::test]
async fn many_keys_that_are_denied_keep_no_other_from_being_deleted() {
    const LOG_OUTS: usize = 300;
    let (adapter, server, _proxy) = as_user("~ok:* &* +@all").await;
    for at in 0..LOG_OUTS {
        let flag = format!("ok:{at}");
        adapter.set(&flag, "v", LONG).await;
        adapter.delete_many(&[&flag, &format!("denied:{at}")]).await;
    }
    until(|| adapter.health().deletes_pending == LOG_OUTS).await;
    assert_eq!(server.command(&["DBSIZE"]).unwrap().int(), Some(0));
    adapter.delete_many(&["ok:late", "denied:late"]).await;
    until(|| adapter.health().deletes_pending == LOG_OUTS + 1).await;
    let read = adapter.read("ok:late").await;
    assert!(matches!(read, Ok(Read::Miss)), "withheld no more: {read:?}");
}

/// However long it was to live, which nobody here knows.
#[tokio::test]
async fn what_nobody_here_may_delete_is_withheld_until_it_is_gone() {
    let (adapter, server, _proxy) = as_user("~* &* +@all -del -evalsha -eval").await;
    server.command(&["SET", "heartbeat:1", "by another instance"]).unwrap();
    adapter.delete("heartbeat:1").await;
    let tried = || server.info_field("errorstats", "errorstat_NOPERM");
    for _ in 0..2 {
        let before = tried();
        until(|| tried() != before).await;
        assert_eq!((adapter.get("heartbeat:1").await, adapter.health().deletes_pending), (None, 1));
    }
    server.command(&["DEL", "heartbeat:1"]).unwrap();
    made_up_for(&adapter).await;
}

/// A delete that is missed while a pattern is swept does not wait for the end of that.
#[tokio::test]
async fn a_long_walk_keeps_no_delete_waiting() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = quick(proxy.url()).call_deadline(LONG).build().unwrap();
    comes_alive(&redis).await;
    let adapter = RedisCacheAdapter::new(redis).with_missed_deletes(0);
    let mut fill = vec!["MSET".to_owned()];
    fill.extend((0..20_000).flat_map(|at| [format!("user:{at}"), "v".to_owned()]));
    assert_eq!(server.command(&fill).unwrap().text(), Some("OK"));
    proxy.delay(Duration::from_millis(30));
    owes(&adapter, "user:1").await;
    let adapter = adapter.with_missed_deletes(1);
    let scans = server.command_calls("scan");
    until(|| server.command_calls("scan") > scans).await;
    owes(&adapter, "flag").await;
    until(|| adapter.health().deletes_pending == 0).await;
    assert_eq!(adapter.health().patterns_pending, ["user:*"]);
}

/// Where the server may not be walked over, the longest TTL that was given says when all are gone.
#[tokio::test]
async fn where_nobody_may_scan_a_pattern_ends_with_its_ttl() {
    let (adapter, _server, _proxy) = as_user("~* &* +@all -scan").await;
    let adapter = adapter.with_missed_deletes(0);
    adapter.set("heartbeat:1", "v", Duration::MAX).await;
    assert_eq!(adapter.health().rejected.set, 1, "a TTL that nobody takes is none to wait for");
    owes(&adapter, "heartbeat:1").await;
    assert_eq!(adapter.health().patterns_pending, ["heartbeat:*"]);
    adapter.set("heartbeat:2", "v", LONG).await;
    assert_eq!(adapter.get("heartbeat:2").await, None);
}

/// Many pages, each within a deadline of its own.
#[tokio::test]
async fn more_than_one_call_deletes_in_time_are_deleted_in_several() {
    let server = own_behind_proxy();
    let redis = quick(server.url()).call_deadline(Duration::from_millis(60)).build().unwrap();
    comes_alive(&redis).await;
    let adapter = RedisCacheAdapter::new(redis);
    let keys: Vec<String> = (0..10_000).map(|at| format!("{{k}}{at:0200}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    server.proxy().black_hole();
    adapter.delete_many(&keys).await;
    assert_eq!(adapter.health().deletes_pending, 10_000);
    server.proxy().pass();
    made_up_for(&adapter).await;
}

/// It is done where the connections are kept up, wherever the adapter was made.
#[test]
fn the_runtime_that_made_the_adapter_may_end() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (main, short) = (runtime(), runtime());
    let server = own_behind_proxy();
    let redis = quick(server.url()).call_deadline(DEADLINE).build();
    assert!(redis.is_err(), "outside a runtime");
    let redis = main.block_on(async {
        let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
        comes_alive(&redis).await;
        redis
    });
    let adapter = short.block_on(async { RedisCacheAdapter::new(redis) });
    drop(short);
    main.block_on(async {
        server.proxy().black_hole();
        adapter.delete("k").await;
        server.proxy().pass();
        made_up_for(&adapter).await;
    });
}

/// A handler on a runtime of its own, which ends with it.
#[test]
fn the_runtime_of_the_caller_may_end_or_idle() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for ends in [true, false] {
        let main = runtime();
        let server = own_behind_proxy();
        let adapter = main.block_on(async {
            let adapter = on(&server).await;
            adapter.set("{k}other", "v", LONG).await;
            server.proxy().black_hole();
            until(|| adapter.health().is_reachable()).await;
            while adapter.health().is_reachable() {
                let _away = adapter.is_available().await;
            }
            adapter
        });
        let other = runtime();
        other.block_on(adapter.delete("{k}"));
        let idle = (!ends).then_some(other);
        server.proxy().pass();
        main.block_on(made_up_for(&adapter));
        let read = async { while adapter.get("{k}other").await.is_none() {} };
        main.block_on(async { tokio::time::timeout(HANG, read).await }).unwrap();
        drop(idle);
    }
}

/// A caller's connection is driven where it was given, and no read tells that it is back.
#[tokio::test]
async fn a_connection_of_the_callers_is_made_up_for_on_the_runtime_that_gave_it() {
    let server = Server::start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let client = auth_adapter_redis::redis::Client::open(proxy.url()).unwrap();
    let given = client.get_multiplexed_async_connection().await.unwrap();
    let redis = Redis::from(given).with_call_deadline(DEADLINE).unwrap();
    let adapter = Arc::new(RedisCacheAdapter::new(redis));
    adapter.set("k", "v", LONG).await;
    proxy.freeze_present();
    while adapter.health().is_reachable() {
        let _away = adapter.is_available().await;
    }
    let theirs = Arc::clone(&adapter);
    let idle = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(theirs.delete("gone"));
        runtime
    });
    let idle = idle.await.unwrap();
    assert_eq!(adapter.health().deletes_pending, 1);
    proxy.thaw();
    let back = Instant::now();
    let read = async { while adapter.get("k").await.is_none() {} };
    tokio::time::timeout(HANG, read).await.unwrap();
    assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
    idle.shutdown_background();
}

/// A cursor means nothing to another server, nor to this one after its restart.
#[tokio::test]
async fn a_walk_begins_anew_where_its_server_was_replaced() {
    const KEYS: usize = 6000;
    let keeps = ["--appendonly", "yes", "--appendfsync", "no"];
    let server = Server::builder().args(keeps).start().unwrap();
    let proxy = Proxy::to(&server).unwrap();
    let redis = quick(proxy.url()).call_deadline(LONG).build().unwrap();
    comes_alive(&redis).await;
    let (cache, adapter) = (Cache::new(redis.clone()), RedisCacheAdapter::new(redis));
    let adapter = adapter.with_missed_deletes(0);
    let mut fills = tokio::task::JoinSet::new();
    for at in 0..KEYS {
        let cache = cache.clone();
        fills.spawn(async move { cache.set(&format!("user:{at}"), "v", LONG).await.unwrap() });
    }
    fills.join_all().await;
    proxy.delay(Duration::from_millis(20));
    owes(&adapter, "user:1").await;
    let scans = server.command_calls("scan");
    until(|| server.command_calls("scan") > scans + 1).await;
    server.restart(Data::Kept).unwrap();
    proxy.pass();
    made_up_for(&adapter).await;
    assert_eq!(server.command(&["DBSIZE"]).unwrap().int(), Some(0));
}
