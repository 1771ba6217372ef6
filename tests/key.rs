//! The keys of an auth engine: their spelling, what no two of them share, their slots, and what is
//! refused before it could become a key.

mod support;
#[path = "key/thing.rs"]
mod thing;

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use auth_adapter_redis::key::{Keys, Layout, SessionId, TokenHash, UserId, slot};
use auth_adapter_redis::lock::{Acquire, Leases, LockToken};
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Cache, Error, Redis};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use support::{LONG, redis};
use thing::{Thing, hash, is_good, outside, text};

const NOWHERE: &str = "unix:///nowhere/server.sock";
const LAYOUTS: [Layout; 2] = [Layout::Plain, Layout::HashTagged];

/// Holds for many values, or fails with the smallest that was found.
fn for_all<S: Strategy>(values: S, holds: impl Fn(S::Value) -> TestCaseResult) {
    let config = Config { failure_persistence: None, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(&values, holds) {
        panic!("{error}");
    }
}

/// A handle whose server is not there.
async fn away() -> Redis {
    Redis::connect(NOWHERE).await.unwrap()
}

/// Whether an input was refused, by the name of what it was to be.
fn refused<T: Debug>(outcome: &Result<T, Error>, as_what: &str) -> bool {
    matches!(outcome, Err(Error::InvalidInput { what, .. }) if *what == as_what)
}

mod patterns {
    use super::*;

    #[test]
    fn each_is_spelt_as_other_engines_spell_it() {
        let (user, session) = (UserId::new("42").unwrap(), SessionId::new("abc").unwrap());
        let hash = TokenHash::new("9f86d0").unwrap();
        let spelt = |keys: Keys| {
            [
                keys.user(&user),
                keys.session_active(&user, &session),
                keys.sessions_active(&user),
                keys.refresh_token(&hash),
                keys.heartbeat(&user, &session),
                keys.cleanup_lock().to_owned(),
                keys.user_state(&user),
            ]
        };
        let plain = [
            "user:42",
            "session:abc:active",
            "sessions:active:42",
            "rt:hash:9f86d0",
            "heartbeat:abc",
            "cleanup:sessions:lock",
            "user:42:state",
        ];
        let hash_tagged = [
            "user:{42}",
            "session:{42}:abc:active",
            "sessions:active:{42}",
            "rt:hash:9f86d0",
            "heartbeat:{42}:abc",
            "cleanup:sessions:lock",
            "user:{42}:state",
        ];
        assert_eq!(spelt(Keys::new(Layout::Plain)), plain);
        assert_eq!(spelt(Keys::new(Layout::HashTagged)), hash_tagged);
        assert_eq!(spelt(Keys::default()), plain);
    }

    #[test]
    fn each_has_its_ttl() {
        assert_eq!(Keys::USER_TTL, Duration::from_secs(3600));
        assert_eq!(Keys::SESSION_ACTIVE_TTL, Duration::from_secs(300));
        assert_eq!(Keys::SESSIONS_ACTIVE_TTL, Duration::from_secs(300));
        assert_eq!(Keys::REFRESH_TOKEN_TTL, Duration::from_secs(2_592_000));
        assert_eq!(Keys::HEARTBEAT_TTL, Duration::from_secs(25));
        assert_eq!(Keys::CLEANUP_LOCK_TTL, Duration::from_secs(840));
    }

    #[tokio::test]
    async fn a_handle_spells_them_in_its_layout() {
        let redis = away().await;
        assert_eq!(redis.keys().layout(), Layout::Plain);
        let tagged = redis.with_layout(Layout::HashTagged);
        assert_eq!(tagged.keys().user(&UserId::new("42").unwrap()), "user:{42}");
    }

    #[test]
    fn a_key_stands_for_one_thing_only() {
        for layout in LAYOUTS {
            for_all(Thing::any(), |thing| {
                let key = thing.key(layout);
                prop_assert_eq!(Thing::read(layout, &key), Some(thing.told(layout)), "{}", key);
                Ok(())
            });
        }
    }

    /// The same without a reader that could err: each against all others.
    #[test]
    fn no_two_things_share_a_key() {
        let things = Thing::all_of(&["a", ":", "state", "active", "{", "}"]);
        assert!(things.len() > 30_000, "{}", things.len());
        for layout in LAYOUTS {
            let mut owners = HashMap::new();
            for thing in &things {
                let thing = thing.clone().told(layout);
                let key = thing.key(layout);
                if let Some(other) = owners.insert(key.clone(), thing.clone()) {
                    assert_eq!(other, thing, "{key} in {layout:?}");
                }
            }
        }
    }
}

mod tags {
    use super::*;

    #[test]
    fn all_keys_of_a_user_lie_in_the_slot_of_the_id() {
        for_all(Thing::any(), |thing| {
            let key = thing.key(Layout::HashTagged);
            if let Some(user) = thing.user() {
                prop_assert_eq!(slot(key.as_bytes()), slot(user.as_str().as_bytes()), "{}", key);
            }
            Ok(())
        });
    }

    #[test]
    fn a_refresh_token_carries_no_tag_in_either_layout() {
        for_all(hash(), |hash| {
            for layout in LAYOUTS {
                let key = Keys::new(layout).refresh_token(&hash);
                prop_assert_eq!(key, format!("rt:hash:{}", hash.as_str()));
            }
            Ok(())
        });
    }

    #[tokio::test]
    async fn no_prefix_that_a_handle_takes_moves_a_user() {
        let redis = away().await;
        for_all((outside(), Thing::any()), |(prefix, thing)| {
            let taken = redis.clone().with_prefix(&prefix);
            let may_be = prefix.is_empty() || is_good(&prefix, 512) && !prefix.contains(['{', '}']);
            prop_assert_eq!(taken.is_ok(), may_be);
            let (Ok(redis), Some(user)) = (taken, thing.user()) else {
                return Ok(());
            };
            let key = format!("{}{}", redis.prefix(), thing.key(Layout::HashTagged));
            prop_assert_eq!(slot(key.as_bytes()), slot(user.as_str().as_bytes()), "{}", key);
            Ok(())
        });
    }

    #[tokio::test]
    async fn a_prefix_with_braces_is_refused_wherever_it_is_given() {
        for prefix in ["{app}:", "app{", "}app", "a\nb", &"p".repeat(513)] {
            let built = Redis::builder().url(NOWHERE).prefix(prefix).build();
            assert!(refused(&built, "prefix"), "{prefix:?}: {built:?}");
            assert!(refused(&away().await.with_prefix(prefix), "prefix"), "{prefix:?}");
        }
        for prefix in ["", "app:", &"p".repeat(512)] {
            let built = Redis::builder().url(NOWHERE).prefix(prefix).build().unwrap();
            assert_eq!(built.prefix(), prefix);
        }
    }
}

mod ids {
    use super::*;

    #[test]
    fn each_takes_what_its_rule_allows_and_gives_it_back() {
        for_all(outside(), |id| {
            let good = is_good(&id, 512);
            let good_hash = good && !id.contains(['{', '}']);
            let good_user = good_hash && !id.ends_with(":state");
            for (taken, what, good) in [
                (UserId::new(&id).map(|id| id.as_str().to_owned()), "user id", good_user),
                (id.parse::<UserId>().map(|id| id.to_string()), "user id", good_user),
                (SessionId::new(&id).map(|id| id.as_str().to_owned()), "session id", good),
                (id.parse::<SessionId>().map(|id| id.to_string()), "session id", good),
                (TokenHash::new(&id).map(|id| id.as_str().to_owned()), "token hash", good_hash),
                (id.parse::<TokenHash>().map(|id| id.to_string()), "token hash", good_hash),
            ] {
                prop_assert_eq!(refused(&taken, what), !good);
                prop_assert_eq!(taken.ok(), good.then(|| id.clone()));
            }
            Ok(())
        });
    }

    #[test]
    fn the_longest_has_512_bytes_however_few_characters_those_are() {
        for (longest, one_more) in [
            ("a".repeat(512), "a".repeat(513)),
            ("é".repeat(256), "é".repeat(256) + "a"),
            ("€".repeat(170) + "é", "€".repeat(171)),
            ("🔑".repeat(128), "🔑".repeat(129)),
        ] {
            assert_eq!(longest.len(), 512);
            assert!(UserId::new(&longest).is_ok() && SessionId::new(&longest).is_ok());
            assert!(TokenHash::new(&longest).is_ok());
            assert!(refused(&UserId::new(&one_more), "user id"));
            assert!(refused(&SessionId::new(&one_more), "session id"));
            assert!(refused(&TokenHash::new(&one_more), "token hash"));
        }
    }

    #[test]
    fn a_refusal_names_the_rule() {
        let too_long = "a".repeat(513);
        for (id, why) in [
            ("", "invalid user id: must not be empty"),
            (&too_long, "invalid user id: must not be longer than 512 bytes, has 513"),
            ("a\u{85}", "invalid user id: must not have control characters"),
            ("a{b", "invalid user id: must not have braces"),
            ("a}b", "invalid user id: must not have braces"),
            ("a:state", "invalid user id: must not end in \":state\""),
        ] {
            assert_eq!(UserId::new(id).unwrap_err().to_string(), why);
        }
        for id in ["state", "a:state:b", "a:State", ":states"] {
            assert!(UserId::new(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn neither_debug_output_nor_a_refusal_shows_a_token_hash() {
        assert_eq!(format!("{:?}", TokenHash::new("s3cr3t").unwrap()), "TokenHash(\"…\")");
        assert_eq!(format!("{:?}", UserId::new("a\"b").unwrap()), r#"UserId("a\"b")"#);
        for raw in ["s3cr3t\n".to_owned(), "s3cr3t".repeat(100)] {
            let error = TokenHash::new(raw).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
        }
    }
}

mod slots {
    use super::*;

    #[test]
    fn they_are_those_of_the_cluster_specification() {
        for (key, number) in [("", 0), ("123456789", 0x31c3), ("foo", 12182), ("bar", 5061)] {
            assert_eq!(slot(key.as_bytes()), number, "{key}");
        }
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("}foo{bar}", "bar"),
        ] {
            assert_eq!(slot(key.as_bytes()), slot(hashed.as_bytes()), "{key}");
        }
        // These have no tag: all of them is hashed, which no part of them would give.
        for (key, part) in [("foo{}{bar}", "bar"), ("foo{bar", "bar"), ("foo}bar", "foo")] {
            assert_ne!(slot(key.as_bytes()), slot(part.as_bytes()), "{key}");
        }
        assert_eq!(slot(b"foo{}{bar}"), 8363);
    }

    #[test]
    fn they_are_those_of_a_real_cluster_node() {
        let server = Server::builder().args(["--cluster-enabled", "yes"]).start().unwrap();
        let byte = prop_oneof![2 => Just(b'{'), 2 => Just(b'}'), 4 => any::<u8>()];
        let key = prop_oneof![
            prop::collection::vec(byte, 0..24),
            text().prop_map(String::into_bytes),
            Thing::any().prop_map(|thing| thing.key(Layout::HashTagged).into_bytes()),
        ];
        for_all(key, |key| {
            let reply = server.command(&[b"CLUSTER".as_slice(), b"KEYSLOT", &key]).unwrap();
            prop_assert_eq!(reply.int(), Some(slot(&key).into()), "{:?}", reply);
            Ok(())
        });
    }
}

/// What the cache and the locks refuse, on a handle without a connection: a good call is
/// unavailable there, so one that is invalid was refused before anything was sent.
mod edge {
    use super::*;

    async fn outcomes(redis: &Redis, token: &LockToken, key: &str) -> Vec<Result<(), Error>> {
        let (cache, locks) = (Cache::new(redis.clone()), Leases::new(redis.clone()));
        vec![
            cache.get(key).await.map(drop),
            cache.set(key, "v", LONG).await,
            cache.delete(key).await.map(drop),
            cache.delete_many(&[key, "good"]).await.map(drop),
            cache.delete_many(&["good", key]).await.map(drop),
            locks.acquire(key, LONG).await.map(drop),
            locks.retry_acquire(key, token.clone(), LONG).await.map(drop),
            locks.extend(key, token, LONG).await.map(drop),
            locks.release(key, token).await.map(drop),
            locks.inspect(key).await.map(drop),
        ]
    }

    fn unavailable<T>(outcome: &Result<T, Error>) -> bool {
        matches!(outcome, Err(Error::Unavailable(_)))
    }

    async fn token() -> LockToken {
        match Leases::new(redis().await).acquire("lock", LONG).await.unwrap() {
            Acquire::Acquired(token) => token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_key_is_refused_before_anything_is_sent() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (redis, token) = runtime.block_on(async { (away().await, token().await) });
        for_all(outside(), |key| {
            for outcome in runtime.block_on(outcomes(&redis, &token, &key)) {
                match is_good(&key, 2048) {
                    true => prop_assert!(unavailable(&outcome), "{:?}", outcome),
                    false => prop_assert!(refused(&outcome, "key"), "{:?}", outcome),
                }
            }
            Ok(())
        });
    }

    #[tokio::test]
    async fn the_longest_key_has_2048_bytes() {
        let (redis, token) = (away().await, token().await);
        for (key, good) in [("k".repeat(2048), true), ("é".repeat(1024) + "k", false)] {
            for outcome in outcomes(&redis, &token, &key).await {
                assert_eq!(unavailable(&outcome), good, "{outcome:?}");
                assert_eq!(refused(&outcome, "key"), !good, "{outcome:?}");
            }
        }
    }

    /// Whatever ids are good, their keys are.
    #[tokio::test]
    async fn the_longest_ids_make_a_good_key() {
        let longest = "x".repeat(512);
        let (user, session) = (UserId::new(&longest).unwrap(), SessionId::new(&longest).unwrap());
        let key = Keys::new(Layout::HashTagged).session_active(&user, &session);
        for outcome in outcomes(&away().await, &token().await, &key).await {
            assert!(unavailable(&outcome), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_ttl_below_a_millisecond_or_past_what_lua_counts_is_refused() {
        let (redis, token) = (away().await, token().await);
        let (cache, locks) = (Cache::new(redis.clone()), Leases::new(redis));
        let (ms, ns) = (Duration::from_millis, Duration::from_nanos);
        for (ttl, good) in [
            (Duration::ZERO, false),
            (ns(1), false),
            (ns(999_999), false),
            (ms(1), true),
            (ms((1 << 53) - 1) + ns(999_999), true),
            (ms(1 << 53), false),
            (ms(u64::MAX), false),
            (Duration::MAX, false),
        ] {
            for outcome in [
                cache.set("k", "v", ttl).await,
                locks.acquire("k", ttl).await.map(drop),
                locks.retry_acquire("k", token.clone(), ttl).await.map(drop),
                locks.extend("k", &token, ttl).await.map(drop),
            ] {
                assert_eq!(unavailable(&outcome), good, "{ttl:?}: {outcome:?}");
                assert_eq!(refused(&outcome, "TTL"), !good, "{ttl:?}: {outcome:?}");
            }
        }
    }
}
