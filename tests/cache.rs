//! The typed cache on a real server.

mod support;

use std::time::Duration;

use auth_adapter_redis::{Cache, Error, Redis, ServerErrorKind};
use support::target::{self, Kind, own, shared};
use support::{LONG, SHORT, assert_server, full_server, raw, redis, redis_on};

async fn cache() -> (Cache, Redis) {
    let redis = redis().await;
    (Cache::new(redis.clone()), redis)
}

fn invalid<T: std::fmt::Debug>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::InvalidInput { .. }))
}

mod get {
    use super::*;

    #[tokio::test]
    async fn gives_what_was_set() {
        let (cache, _) = cache().await;
        cache.set("k", "värde\0", LONG).await.unwrap();
        assert_eq!(cache.get("k").await.unwrap().as_deref(), Some("värde\0"));
    }

    #[tokio::test]
    async fn gives_none_for_an_absent_key() {
        let (cache, _) = cache().await;
        assert_eq!(cache.get("k").await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_empty_string_is_a_hit() {
        let (cache, _) = cache().await;
        cache.set("k", "", LONG).await.unwrap();
        assert_eq!(cache.get("k").await.unwrap().as_deref(), Some(""));
    }

    #[tokio::test]
    async fn a_key_of_another_type_is_an_error() {
        let (cache, redis) = cache().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        assert_server(cache.get("k").await, ServerErrorKind::WrongType);
    }

    #[tokio::test]
    async fn bytes_that_are_not_utf8_are_an_error_that_shows_none_of_them() {
        let (cache, redis) = cache().await;
        let key = format!("{}k", redis.prefix());
        shared().command(&[b"SET".as_slice(), key.as_bytes(), b"secret\xff"]).unwrap();
        let error = cache.get("k").await.unwrap_err();
        assert!(matches!(&error, Error::Reply { call, .. } if call == "GET"), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_bad_key_is_refused_before_anything_is_sent() {
        let server = own();
        let cache = Cache::new(redis_on(&server).await);
        for key in ["", "a\nb", "a\0", &"k".repeat(2049)] {
            assert!(invalid(cache.get(key).await), "{key:?}");
            assert!(invalid(cache.set(key, "v", LONG).await), "{key:?}");
            assert!(invalid(cache.delete(key).await), "{key:?}");
            assert!(invalid(cache.delete_many(&["good", key]).await), "{key:?}");
        }
        for command in ["get", "set", "del", "evalsha"] {
            assert_eq!(server.command_calls(command), 0, "{command}");
        }
    }
}

mod set {
    use super::*;

    #[tokio::test]
    async fn the_value_ends_with_its_ttl() {
        let (cache, redis) = cache().await;
        cache.set("k", "v", Duration::from_millis(90_500)).await.unwrap();
        let left = raw(&redis, "PTTL", "k", &[]).int().unwrap();
        assert!((85_000..=90_500).contains(&left), "{left}");
        cache.set("k", "v", SHORT).await.unwrap();
        tokio::time::sleep(SHORT + Duration::from_millis(20)).await;
        assert_eq!(cache.get("k").await.unwrap(), None);
    }

    #[tokio::test]
    async fn it_replaces_whatever_was_there() {
        let (cache, redis) = cache().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        cache.set("k", "v", LONG).await.unwrap();
        assert_eq!(cache.get("k").await.unwrap().as_deref(), Some("v"));
    }

    #[tokio::test]
    async fn a_ttl_of_zero_and_one_past_the_end_of_time_are_refused() {
        let (cache, _) = cache().await;
        for ttl in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
            assert!(invalid(cache.set("k", "v", ttl).await), "{ttl:?}");
        }
        assert_eq!(cache.get("k").await.unwrap(), None);
        cache.set("k", "v", Duration::from_millis((1 << 53) - 1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_server_is_an_error() {
        let server = full_server();
        let cache = Cache::new(redis_on(&server).await);
        assert_server(cache.set("k", "v", LONG).await, ServerErrorKind::OutOfMemory);
    }
}

mod delete {
    use super::*;

    #[tokio::test]
    async fn it_says_whether_the_key_was_there() {
        let (cache, redis) = cache().await;
        raw(&redis, "LPUSH", "k", &["x"]);
        assert!(cache.delete("k").await.unwrap());
        assert!(!cache.delete("k").await.unwrap());
        assert_eq!(raw(&redis, "EXISTS", "k", &[]).int(), Some(0));
    }

    #[tokio::test]
    async fn a_full_server_still_deletes() {
        let server = full_server();
        let cache = Cache::new(redis_on(&server).await);
        assert!(!cache.delete("k").await.unwrap());
        assert_eq!(cache.delete_many(&["k"]).await.unwrap(), 0);
    }
}

mod delete_many {
    use super::*;

    #[tokio::test]
    async fn gives_deleted_how_many_there_were() {
        let (cache, redis) = cache().await;
        cache.set("{k}a", "1", LONG).await.unwrap();
        raw(&redis, "LPUSH", "{k}b", &["x"]);
        raw(&redis, "HSET", "{k}c", &["f", "v"]);
        cache.set("{k}kept", "1", LONG).await.unwrap();
        assert_eq!(cache.delete_many(&["{k}a", "{k}b", "{k}c", "{k}absent"]).await.unwrap(), 3);
        assert_eq!(cache.get("{k}a").await.unwrap(), None);
        assert_eq!(cache.get("{k}kept").await.unwrap().as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_key_named_twice_counts_once() {
        let (cache, _) = cache().await;
        cache.set("a", "1", LONG).await.unwrap();
        assert_eq!(cache.delete_many(&["a", "a", "a"]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_duplicate_in_another_chunk_counts_once() {
        let (cache, _) = cache().await;
        cache.set("{k}a", "1", LONG).await.unwrap();
        let key = |at| if at % 7_000 == 0 { "{k}a" } else { "{k}b" };
        let keys: Vec<_> = (0..15_000).map(key).collect();
        assert_eq!(cache.delete_many(&keys).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_empty_list_sends_nothing() {
        let server = own();
        let cache = Cache::new(redis_on(&server).await);
        assert_eq!(cache.delete_many::<&str>(&[]).await.unwrap(), 0);
        assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
    }

    #[tokio::test]
    async fn twenty_thousand_keys_go_in_one_call() {
        let server = own();
        let redis = redis_on(&server).await;
        let cache = Cache::new(redis.clone());
        auth_adapter_redis::script::library().load(&redis).await.unwrap();
        let keys: Vec<String> = (0..20_000).map(|at| format!("{{k}}{at}")).collect();
        let mut mset = vec!["MSET"];
        keys.iter().for_each(|key| mset.extend([key.as_str(), "v"]));
        server.command(&mset).unwrap();
        assert_eq!(cache.delete_many(&keys).await.unwrap(), 20_000);
        assert_eq!(server.command(&["DBSIZE"]).unwrap().int(), Some(0));
        assert_eq!(server.command_calls("evalsha"), 1);
        assert_eq!(server.command_calls("del"), 3, "chunks of 7000");
    }

    #[tokio::test]
    async fn chunk_borders_lose_no_key() {
        let (cache, redis) = cache().await;
        for count in [1, 6_999, 7_000, 7_001, 8_000, 14_000, 14_001] {
            let keys: Vec<String> = (0..count).map(|at| format!("{{k}}{count}:{at}")).collect();
            let (first, last) = (&keys[0], &keys[count - 1]);
            raw(&redis, "SET", first, &["v"]);
            raw(&redis, "SET", last, &["v"]);
            let there = if count == 1 { 1 } else { 2 };
            assert_eq!(cache.delete_many(&keys).await.unwrap(), there, "{count}");
        }
    }

    /// A cluster has no one instant for several slots.
    #[tokio::test]
    async fn keys_of_several_slots_go_together_or_are_refused_before_anything_is_sent() {
        let server = own();
        let cache = Cache::new(redis_on(&server).await);
        for key in ["a", "b"] {
            cache.set(key, "v", LONG).await.unwrap();
        }
        let outcome = cache.delete_many(&["a", "b"]).await;
        if let Kind::Cluster = target::kind() {
            assert!(matches!(outcome, Err(Error::CrossSlot { .. })), "{outcome:?}");
            assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
            assert_eq!(cache.delete_many_by_slot(&["a", "b"]).await.unwrap(), 2);
        } else {
            assert_eq!(outcome.unwrap(), 2);
        }
        for key in ["a", "b"] {
            assert_eq!(cache.get(key).await.unwrap(), None, "{key}");
        }
    }

    #[tokio::test]
    async fn more_than_a_million_keys_are_refused() {
        let (cache, _) = cache().await;
        assert!(invalid(cache.delete_many(&vec!["k"; 1_000_001]).await));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_sees_some_keys_gone_and_some_not() {
        let (cache, redis) = cache().await;
        let keys = ["{k}a", "{k}b", "{k}c", "{k}d"];
        let prefixed: Vec<_> = keys.iter().map(|key| format!("{}{key}", redis.prefix())).collect();
        let mut exists = vec!["EXISTS"];
        exists.extend(prefixed.iter().map(String::as_str));
        let mut mset = vec!["MSET"];
        prefixed.iter().for_each(|key| mset.extend([key.as_str(), "v"]));
        let watching = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut seen = std::collections::BTreeSet::new();
                while watching.load(std::sync::atomic::Ordering::Relaxed) {
                    seen.insert(shared().command(&exists).unwrap().int().unwrap());
                }
                seen
            });
            let runtime = tokio::runtime::Handle::current();
            let deleter = scope.spawn(move || {
                runtime.block_on(async {
                    for _ in 0..200 {
                        shared().command(&mset).unwrap();
                        assert_eq!(cache.delete_many(&keys).await.unwrap(), 4);
                    }
                });
            });
            deleter.join().unwrap();
            watching.store(false, std::sync::atomic::Ordering::Relaxed);
            let seen = watcher.join().unwrap();
            assert!(seen.iter().all(|count| [0, 4].contains(count)), "{seen:?}");
        });
    }
}
