//! The seven operations: what they do on a sound server, and what they do with what is not theirs.

#[path = "adapter/in_process.rs"]
mod in_process;
#[path = "adapter/missed.rs"]
mod missed;
#[path = "adapter/released.rs"]
mod released;
mod support;
#[path = "adapter/swept.rs"]
mod swept;

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::adapter::{Calls, LockFallback};
use auth_adapter_redis::testing::Data;
use auth_adapter_redis::{CacheAdapter, Redis, RedisCacheAdapter};
use support::target::{Own, own, own_behind_proxy, shared};
use support::{HANG, LONG, SHORT, comes_alive, events, on_lock, quick, raw, raw_on, redis, until};

const DEADLINE: Duration = Duration::from_millis(200);

async fn adapter() -> (RedisCacheAdapter, Redis) {
    let redis = redis().await;
    (RedisCacheAdapter::new(redis.clone()), redis)
}

/// A handle with a short deadline that knows that its server is gone.
async fn away() -> (RedisCacheAdapter, Own) {
    let server = own();
    let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
    redis.connected().await;
    server.kill().unwrap();
    until(|| !redis.is_connected()).await;
    let down = async { while redis.ping().await.is_ok() {} };
    tokio::time::timeout(HANG, down).await.unwrap();
    (RedisCacheAdapter::new(redis), server)
}

mod sound {
    use super::*;

    #[tokio::test]
    async fn it_serves_behind_its_trait() {
        let (adapter, redis) = adapter().await;
        let cache: Arc<dyn CacheAdapter> = Arc::new(adapter);
        assert!(cache.is_available().await);
        assert_eq!(cache.get("k").await, None);
        cache.set("k", "v", LONG).await;
        assert_eq!(cache.get("k").await.as_deref(), Some("v"));
        cache.delete("k").await;
        assert_eq!(cache.get("k").await, None);
        for key in ["a", "b", "c"] {
            cache.set(key, "v", LONG).await;
        }
        cache.delete_many(&["a", "b", "absent"]).await;
        cache.delete_many(&[]).await;
        assert_eq!(cache.get("a").await, None);
        assert_eq!(cache.get("c").await.as_deref(), Some("v"));
        assert!(cache.acquire_lock("job", LONG).await);
        assert!(!cache.acquire_lock("job", LONG).await);
        cache.release_lock("job").await;
        assert_eq!(raw(&redis, "EXISTS", "job", &[]).int(), Some(0));
        assert!(cache.acquire_lock("job", LONG).await);
    }

    #[tokio::test]
    async fn nothing_is_counted_and_all_is_reachable() {
        let (adapter, _) = adapter().await;
        assert!(adapter.acquire_lock("job", LONG).await);
        adapter.release_lock("job").await;
        adapter.release_lock("never taken").await;
        let health = adapter.health();
        assert!(health.is_reachable());
        assert_eq!(health.swallowed.total() + health.rejected.total(), 0);
    }

    #[tokio::test]
    async fn two_instances_share_its_locks_and_release_only_their_own() {
        let (one, redis) = adapter().await;
        let two = RedisCacheAdapter::new(redis);
        assert!(one.acquire_lock("job", LONG).await);
        assert!(!two.acquire_lock("job", LONG).await);
        two.release_lock("job").await;
        assert!(!two.acquire_lock("job", LONG).await, "one has it still");
        one.release_lock("job").await;
        assert!(two.acquire_lock("job", LONG).await);
    }

    /// Task A's lease ends, task B of the same process takes the lock, then A releases late.
    #[tokio::test]
    async fn a_late_release_of_one_task_leaves_the_lock_of_the_next_alone() {
        let (adapter, redis) = adapter().await;
        let value = || raw(&redis, "GET", "job", &[]).text().map(str::to_owned);
        assert!(adapter.acquire_lock("job", LONG).await, "A");
        assert_eq!(raw(&redis, "DEL", "job", &[]).int(), Some(1), "as the lease ends");
        assert!(adapter.acquire_lock("job", LONG).await, "B");
        let of_b = value();
        adapter.release_lock("job").await;
        assert_eq!(value(), of_b, "A's release");
        assert!(!adapter.acquire_lock("job", LONG).await, "B has it");
        adapter.release_lock("job").await;
        assert_eq!(value(), None, "B's release");
    }

    /// The same with a lease that really ends.
    #[tokio::test]
    async fn a_lease_that_ended_by_itself_leaves_the_next_holder_alone() {
        let (adapter, redis) = adapter().await;
        assert!(adapter.acquire_lock("job", SHORT).await);
        let taken = async { while !adapter.acquire_lock("job", LONG).await {} };
        tokio::time::timeout(HANG, taken).await.unwrap();
        adapter.release_lock("job").await;
        assert_eq!(raw(&redis, "EXISTS", "job", &[]).int(), Some(1));
    }

    #[tokio::test]
    async fn a_foreign_lock_is_respected() {
        let (adapter, redis) = adapter().await;
        raw(&redis, "SET", "job", &["theirs", "NX", "EX", "60"]);
        assert!(!adapter.acquire_lock("job", LONG).await);
        adapter.release_lock("job").await;
        assert_eq!(raw(&redis, "GET", "job", &[]).text(), Some("theirs"));
    }
}

mod rejected {
    use super::*;

    fn counted(adapter: &RedisCacheAdapter) -> (Calls, u64) {
        let health = adapter.health();
        (health.rejected, health.swallowed.total())
    }

    #[tokio::test]
    async fn a_key_of_another_type_falls_back_and_takes_no_lock() {
        let (adapter, redis) = adapter().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        assert_eq!(adapter.get("k").await, None);
        assert!(!adapter.acquire_lock("k", LONG).await);
        let (rejected, swallowed) = counted(&adapter);
        assert_eq!((rejected.get, rejected.acquire_lock, swallowed), (1, 1, 0));
        assert!(adapter.health().is_reachable());

        assert!(adapter.acquire_lock("job", LONG).await);
        raw(&redis, "DEL", "job", &[]);
        raw(&redis, "LPUSH", "job", &["x"]);
        adapter.release_lock("job").await;
        assert_eq!(raw(&redis, "LLEN", "job", &[]).int(), Some(1));
        assert_eq!(counted(&adapter).0.release_lock, 1);
    }

    #[tokio::test]
    async fn bad_input_does_nothing_and_takes_no_lock_also_while_redis_is_away() {
        let (sound, _) = adapter().await;
        let (away, _server) = away().await;
        for adapter in [sound, away] {
            let before = adapter.health().swallowed.total();
            assert_eq!(adapter.get("").await, None);
            adapter.set("k", "v", Duration::ZERO).await;
            adapter.set("a\nb", "v", LONG).await;
            adapter.delete("").await;
            adapter.delete_many(&["k", ""]).await;
            assert!(!adapter.acquire_lock("", LONG).await);
            assert!(!adapter.acquire_lock("job", Duration::ZERO).await);
            let (rejected, swallowed) = counted(&adapter);
            assert_eq!((rejected.get, rejected.set, rejected.delete), (1, 2, 1));
            assert_eq!((rejected.delete_many, rejected.acquire_lock), (1, 2));
            assert_eq!(swallowed, before);
        }
    }

    #[tokio::test]
    async fn a_value_that_is_no_text_is_rejected() {
        let (adapter, redis) = adapter().await;
        let key = format!("{}k", redis.prefix());
        let set =
            shared().command(&["EVAL", "return redis.call('SET', KEYS[1], '\\255')", "1", &key]);
        set.unwrap();
        assert_eq!(adapter.get("k").await, None);
        assert_eq!(counted(&adapter).0.get, 1);
    }
}

mod away {
    use super::*;

    #[tokio::test]
    async fn of_two_tasks_one_works_and_its_release_lets_the_next() {
        let (adapter, _server) = away().await;
        assert!(adapter.acquire_lock("job", LONG).await);
        assert!(!adapter.acquire_lock("job", LONG).await);
        assert!(adapter.acquire_lock("other job", LONG).await);
        adapter.release_lock("job").await;
        assert!(adapter.acquire_lock("job", LONG).await);
        assert_eq!(adapter.health().swallowed.release_lock, 0, "nothing was to be sent");
    }

    #[tokio::test]
    async fn a_lock_of_this_process_ends_with_its_ttl() {
        let (adapter, _server) = away().await;
        let began = std::time::Instant::now();
        assert!(adapter.acquire_lock("job", SHORT).await);
        while !adapter.acquire_lock("job", SHORT).await {
            tokio::task::yield_now().await;
        }
        assert!(began.elapsed() >= SHORT);
    }

    #[tokio::test]
    async fn it_refuses_where_told_to() {
        let (adapter, _server) = away().await;
        let adapter = adapter.with_lock_fallback(LockFallback::Refuse);
        assert!(!adapter.acquire_lock("job", LONG).await);
        assert_eq!(adapter.health().swallowed.acquire_lock, 1);
    }

    #[tokio::test]
    async fn a_lock_taken_before_the_outage_keeps_other_tasks_out_during_it() {
        let server = own();
        let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
        redis.connected().await;
        let adapter = RedisCacheAdapter::new(redis);
        assert!(adapter.acquire_lock("job", LONG).await);
        server.kill().unwrap();
        assert!(!adapter.acquire_lock("job", LONG).await);
    }

    #[tokio::test]
    async fn a_lock_of_this_process_keeps_other_tasks_out_after_the_outage() {
        let (adapter, server) = away().await;
        assert!(adapter.acquire_lock("job", LONG).await);
        server.restart(Data::Lost);
        let back = async { while !adapter.is_available().await {} };
        tokio::time::timeout(HANG, back).await.unwrap();
        assert!(!adapter.acquire_lock("job", LONG).await);
        adapter.release_lock("job").await;
        assert!(adapter.acquire_lock("job", LONG).await);
        assert_eq!(server.command(&["EXISTS", "job"]).unwrap().int(), Some(1));
    }

    #[tokio::test]
    async fn what_is_swallowed_is_counted_by_operation() {
        let (adapter, server) = away().await;
        adapter.get("k").await;
        adapter.set("k", "v", LONG).await;
        adapter.set("k", "v", LONG).await;
        adapter.delete("k").await;
        adapter.delete_many(&["k", "l"]).await;
        assert!(adapter.acquire_lock("job", LONG).await);
        let health = adapter.health();
        assert!(!health.is_reachable());
        let seen = health.swallowed;
        assert_eq!((seen.get, seen.set, seen.delete, seen.delete_many), (1, 2, 1, 1));
        assert_eq!((seen.acquire_lock, seen.total()), (1, 6));
        assert_eq!(health.rejected.total(), 0);
        server.restart(Data::Lost);
        let back = async { while !adapter.is_available().await {} };
        tokio::time::timeout(HANG, back).await.unwrap();
        assert!(adapter.health().is_reachable());
    }

    #[tokio::test]
    async fn each_change_is_one_event_and_not_each_call() {
        let (log, _listening) = events();
        let (adapter, server) = away().await;
        for _ in 0..100 {
            adapter.get("k").await;
        }
        assert_eq!(log.count("redis is away"), 1, "{}", log.text());
        server.restart(Data::Lost);
        let back = async { while !adapter.is_available().await {} };
        tokio::time::timeout(HANG, back).await.unwrap();
        for _ in 0..100 {
            adapter.get("k").await;
        }
        assert_eq!(log.count("redis is back"), 1, "{}", log.text());
        assert_eq!(log.count("redis is away"), 1, "{}", log.text());
    }
}

mod unknown {
    use super::*;

    async fn through(server: &Own) -> (RedisCacheAdapter, Redis) {
        let redis = quick(server.url()).call_deadline(DEADLINE).build().unwrap();
        redis.connected().await;
        // The server has the scripts from now on.
        on_lock("lock/peek", &redis).run::<auth_adapter_redis::redis::Value>().await.unwrap();
        let adapter = RedisCacheAdapter::new(redis.clone());
        assert!(adapter.acquire_lock("warm", LONG).await);
        adapter.release_lock("warm").await;
        (adapter, redis)
    }

    /// Redis took the lock and its reply was lost: this process works under a lock of its own, and
    /// the one in Redis is freed as soon as that can be said.
    #[tokio::test]
    async fn a_lock_whose_reply_was_lost_is_freed_in_the_background() {
        let server = own_behind_proxy();
        let (adapter, redis) = through(&server).await;
        let proxy = server.proxy();
        proxy.silence_replies();
        assert!(adapter.acquire_lock("job", LONG).await);
        let there = || raw_on(&server, &redis, "EXISTS", "job", &[]).int();
        assert_eq!(there(), Some(1));
        assert_eq!(adapter.health().swallowed.acquire_lock, 1);
        proxy.pass();
        until(|| there() == Some(0)).await;
        assert!(!adapter.acquire_lock("job", LONG).await, "a task of this process has it");
    }

    #[tokio::test]
    async fn a_lock_whose_release_was_lost_is_freed_in_the_background() {
        let server = own_behind_proxy();
        let (adapter, redis) = through(&server).await;
        let proxy = server.proxy();
        assert!(adapter.acquire_lock("job", LONG).await);
        proxy.black_hole();
        adapter.release_lock("job").await;
        let there = || raw_on(&server, &redis, "EXISTS", "job", &[]).int();
        assert_eq!((there(), adapter.health().swallowed.release_lock), (Some(1), 1));
        proxy.pass();
        until(|| there() == Some(0)).await;
    }

    #[tokio::test]
    async fn an_acquire_that_is_dropped_leaves_no_lock() {
        let server = own_behind_proxy();
        let (adapter, redis) = through(&server).await;
        let proxy = server.proxy();
        proxy.delay(DEADLINE / 4);
        let taken = server.command_calls("set");
        {
            let acquire = adapter.acquire_lock("job", LONG);
            let executed = until(|| server.command_calls("set") > taken);
            tokio::select! {
                got = acquire => panic!("the reply was there too early: {got}"),
                () = executed => {}
            }
        }
        let there = || raw_on(&server, &redis, "EXISTS", "job", &[]).int();
        until(|| there() == Some(0)).await;
        proxy.pass();
        comes_alive(&redis).await;
        assert!(adapter.acquire_lock("job", LONG).await);
    }

    #[tokio::test]
    async fn more_of_them_than_are_freed_at_a_time_are_told() {
        let (log, _listening) = events();
        let server = own_behind_proxy();
        let (adapter, redis) = through(&server).await;
        let proxy = server.proxy();
        proxy.silence_replies();
        let adapter = Arc::new(adapter);
        let mut taken = tokio::task::JoinSet::new();
        for at in 0..300 {
            let adapter = Arc::clone(&adapter);
            taken.spawn(async move { adapter.acquire_lock(&format!("job{at}"), SHORT * 10).await });
        }
        let taken = taken.join_all().await;
        assert_eq!(taken, [true; 300]);
        assert_eq!(log.count("left to end with its lease"), 300 - 256, "{}", log.text());
        proxy.pass();
        until(|| redis.is_connected()).await;
        let left = || server.command(&["DBSIZE"]).unwrap().int();
        until(|| left() == Some(0)).await;
    }
}
