//! A revoke does all or nothing.

use super::*;
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::testing::Server;

/// Each way to revoke.
#[derive(Clone, Copy, Debug)]
enum How {
    One,
    All,
    Others,
}

const WAYS: [How; 3] = [How::One, How::All, How::Others];

impl How {
    async fn revoke(self, sessions: &Sessions, also: &[&str]) -> Result<usize, ExposedError> {
        let revoked = match self {
            Self::One => sessions.revoke(&user(), &ids(&["a", "unknown"]), also).await,
            Self::All => sessions.revoke_all(&user(), also).await,
            Self::Others => sessions.revoke_others(&user(), &id("b"), also).await,
        };
        revoked.map(|revoked| revoked.ended.len())
    }
}

/// A user's own connection with one right less.
async fn lacking(server: &Server, right: &str) -> Redis {
    let words = ["ACL", "SETUSER", "less", "reset", "on", ">pw", "~*", "&*", "+@all", right];
    assert_eq!(server.command(&words).unwrap().text(), Some("OK"));
    let builder = support::quick(server.url()).username("less").password("pw");
    let redis = builder.call_deadline(support::LONG).build().unwrap();
    redis.connected().await;
    redis
}

fn all(server: &Server, key: &str) -> Value {
    // As a set: a listpack and a hash table give their fields in another order.
    let reply = server.command(&["HGETALL", key]).unwrap();
    let words = reply.array().unwrap().iter().map(|word| word.bytes().unwrap().to_vec());
    let mut pairs: Vec<_> = words.collect::<Vec<_>>().chunks(2).map(<[_]>::to_vec).collect();
    pairs.retain(|pair| pair[0] != b"v");
    pairs.sort();
    Value::Array(pairs.concat().into_iter().map(Value::BulkString).collect())
}

#[tokio::test]
async fn a_user_who_lacks_one_right_ends_nothing_and_deletes_no_key() {
    let server = Server::start().unwrap();
    let store = Store::on(redis_on(&server).await);
    let state = store.state();
    for how in WAYS {
        for right in ["-hgetall", "-time", "-hdel", "-hset", "-pexpireat", "-del"] {
            for known in [true, false] {
                server.command(&["FLUSHALL"]).unwrap();
                if known {
                    store.login(&row("a", 2)).await;
                    store.login(&row("b", 1)).await;
                }
                server.command(&["SET", "cached", "v"]).unwrap();
                let before = all(&server, &state);
                let less = Sessions::new(lacking(&server, right).await);
                let failed = how.revoke(&less, &["cached"]).await.unwrap_err();
                let story = format!("{how:?} {right}, known {known}: {failed}");
                assert!(matches!(failed.error, Error::Server(_)), "{story}");
                assert_eq!(all(&server, &state), before, "{story}");
                let there = |key| server.command(&["EXISTS", key]).unwrap().int();
                assert_eq!(there("cached"), Some(1), "{story}");
                assert_eq!(there(&state), Some(i64::from(known)), "{story}");
                if known {
                    assert!(matches!(store.check("a").await, Check::Active(_)), "{story}");
                    assert!(server.command(&["PTTL", &state]).unwrap().int() > Some(3_500_000));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_full_server_still_revokes_and_touches() {
    for how in WAYS {
        for known in [true, false] {
            let server = own();
            let mut store = Store::on(redis_on(&server).await);
            if known {
                store.login(&row("a", 2)).await;
                store.login(&row("b", 1)).await;
            }
            support::set(&server, "maxmemory", "1024");
            if known {
                let often = Duration::from_millis(1);
                store.sessions = store.sessions.with_touch_every(often).unwrap();
                while store.touch("b").await != Touch::Noted {}
            }
            let ended = how.revoke(&store.sessions, &[]).await.unwrap();
            let expected = match how {
                How::All => 2,
                _ => 1,
            };
            assert_eq!(ended, if known { expected } else { 0 }, "{how:?}");
            if known || matches!(how, How::One) {
                assert_eq!(store.check("a").await, Check::Revoked, "{how:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_create_on_a_full_server_displaces_nobody_and_adds_nobody_or_does_both() {
    let server = own();
    let store = Store::on(redis_on(&server).await).max(2);
    store.fill(&[row("a", 2)]).await;
    support::set(&server, "maxmemory", "1024");
    let outcome = store.sessions.create(&user(), &row("b", 1)).await;
    assert_server(outcome, ServerErrorKind::OutOfMemory);
    assert_eq!(store.listed().await, ["a"]);
    let store = store.max(1);
    let created = store.create(&row("b", 1)).await;
    assert_eq!(created, Create::Created { displaced: ids(&["a"]) });
    assert_eq!(store.listed().await, ["b"]);
}

#[tokio::test]
async fn many_sessions_and_many_keys_go_at_once() {
    let store = Store::new().await;
    let rows: Vec<_> = (0..9_000).map(|at| row(&format!("s{at}"), 1)).collect();
    store.fill(&rows).await;
    let keys: Vec<_> =
        (0..16_000).map(|at| format!("{}:{at}", store.redis.keys().user(&user()))).collect();
    for key in [&keys[0], &keys[7_000], &keys[15_999]] {
        raw(&store.redis, "SET", key, &["v"]);
    }
    let also: Vec<_> = keys.iter().map(String::as_str).collect();
    let revoked = store.sessions.revoke_all(&user(), &also).await.unwrap();
    assert_eq!(revoked.ended.len(), 9_000);
    for key in [&keys[0], &keys[7_000], &keys[15_999]] {
        assert_eq!(raw(&store.redis, "EXISTS", key, &[]).int(), Some(0));
    }
    assert!(store.listed().await.is_empty());
    assert_eq!(store.check("s8999").await, Check::Revoked);
}
