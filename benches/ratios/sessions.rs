//! What one hash a user gains or costs over a key a session.
//!
//! Both sides use one and the same connection, and records of one length.

use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::Sessions;
use auth_adapter_redis::redis::{Cmd, Value, cmd};
use auth_adapter_redis::session::Check;

use crate::measure::{Goal, Ratio, batch, speedup};
use crate::support::sessions::{Users, by_hand, end_by_hand, users};
use crate::support::{Bench, TTL_MILLIS, flood, send};

const EACH: usize = 50;
const IN_FLIGHT: usize = 64;
/// The most users that a batch can have.
const MOST: usize = 16_384;

/// The same work on a key for each session: what is there is read, and a tombstone takes its place.
const ON_KEYS: &str = "
local till = ARGV[1]
local ended = {}
for at = 1, #KEYS do
  if redis.call('GET', KEYS[at]) then
    redis.call('SET', KEYS[at], 'revoked:' .. till, 'PX', till)
    ended[#ended + 1] = KEYS[at]
  end
end
return ended";

pub fn revoke50_vs_keys(bench: &Bench) -> Ratio {
    let load = cmd("SCRIPT").arg("LOAD").arg(ON_KEYS).clone();
    let sha = Arc::new(bench.runtime.block_on(async {
        match send(&mut bench.connection.clone(), &load).await {
            Value::BulkString(sha) => String::from_utf8(sha).unwrap(),
            other => panic!("{other:?}"),
        }
    }));
    let keys = async |calls: usize| -> Duration {
        let users = by_hand(bench, calls, EACH).await;
        flood(IN_FLIGHT, calls, |range| {
            let (mut connection, users) = (bench.connection.clone(), Arc::clone(&users));
            let sha = Arc::clone(&sha);
            async move {
                for keys in &users[range] {
                    let mut revoke = Cmd::with_capacity(4 + keys.len(), 2048);
                    revoke.arg("EVALSHA").arg(&*sha).arg(keys.len()).arg(keys).arg(TTL_MILLIS);
                    match send(&mut connection, &revoke).await {
                        Value::Array(ended) => assert_eq!(ended.len(), EACH),
                        other => panic!("{other:?}"),
                    }
                }
            }
        })
        .await
    };
    Ratio {
        name: "revoke50_vs_keys",
        goal: Goal::AtLeast(1.5),
        samples: against(bench, revoke_all, keys),
        what: "calls a second: Sessions::revoke_all of 50 over a script on 50 keys, 64 in flight",
    }
}

pub fn revoke50_vs_commands(bench: &Bench) -> Ratio {
    let commands = async |calls: usize| -> Duration {
        let users = by_hand(bench, calls, EACH).await;
        flood(IN_FLIGHT, calls, |range| {
            let (mut connection, users) = (bench.connection.clone(), Arc::clone(&users));
            async move {
                for key in users[range].iter().flatten() {
                    end_by_hand(&mut connection, key).await;
                }
            }
        })
        .await
    };
    Ratio {
        name: "revoke50_vs_commands",
        goal: Goal::AtLeast(3.0),
        samples: against(bench, revoke_all, commands),
        what: "calls a second: Sessions::revoke_all of 50 over GET and SET for each, 64 in flight",
    }
}

pub fn check_vs_get_64(bench: &Bench) -> Ratio {
    let get = async |calls: usize| -> Duration {
        let users = by_hand(bench, calls, 1).await;
        flood(IN_FLIGHT, calls, |range| {
            let (mut connection, users) = (bench.connection.clone(), Arc::clone(&users));
            async move {
                for keys in &users[range] {
                    let found = send(&mut connection, cmd("GET").arg(&keys[0])).await;
                    assert!(matches!(found, Value::BulkString(_)), "{found:?}");
                }
            }
        })
        .await
    };
    Ratio {
        name: "check_vs_get_64",
        goal: Goal::None,
        samples: against(bench, check, get),
        what: "calls a second: Sessions::check of one that is known over GET, 64 in flight",
    }
}

async fn revoke_all(bench: &Bench, calls: usize) -> Duration {
    let users = users(bench, calls, EACH).await;
    each_user(bench, users, calls, |sessions: Sessions, users: Arc<Users>, at| async move {
        let revoked = sessions.revoke_all(&users.names[at], &[]).await.unwrap();
        assert_eq!(revoked.ended.len(), EACH);
    })
    .await
}

async fn check(bench: &Bench, calls: usize) -> Duration {
    let users = users(bench, calls, 1).await;
    each_user(bench, users, calls, |sessions: Sessions, users: Arc<Users>, at| async move {
        let check = sessions.check(&users.names[at], &users.rows[0].id).await.unwrap();
        assert!(matches!(check, Check::Active(_)), "{check:?}");
    })
    .await
}

async fn each_user<F>(
    bench: &Bench,
    users: Arc<Users>,
    calls: usize,
    call: impl Fn(Sessions, Arc<Users>, usize) -> F + Copy + Send + 'static,
) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let sessions = Sessions::new(bench.redis());
    flood(IN_FLIGHT, calls, |range| {
        let (sessions, users) = (sessions.clone(), Arc::clone(&users));
        async move {
            for at in range {
                call(sessions.clone(), Arc::clone(&users), at).await;
            }
        }
    })
    .await
}

/// Each side does so many calls as fill a batch; the figure is the time of one.
fn against(
    bench: &Bench,
    ours: impl AsyncFn(&Bench, usize) -> Duration,
    theirs: impl AsyncFn(usize) -> Duration,
) -> Vec<f64> {
    bench.runtime.block_on(async {
        let our_calls = batch(IN_FLIGHT, async |calls| ours(bench, calls).await).await.min(MOST);
        let their_calls = batch(IN_FLIGHT, &theirs).await.min(MOST);
        speedup(
            async || ours(bench, our_calls).await.div_f64(our_calls as f64),
            async || theirs(their_calls).await.div_f64(their_calls as f64),
        )
        .await
    })
}
