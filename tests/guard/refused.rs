//! A renewal that the server refuses ends no other guard.

use super::support::{HANG, until};
use super::*;

const TTL: Duration = Duration::from_secs(3);

/// Guards of one slot, which are renewed in one call.
async fn guards(locks: &Locks) -> Vec<LockGuard> {
    let mut guards = Vec::new();
    for at in 0..5 {
        guards.push(won(locks.try_acquire(&format!("{{k}}{at}"), TTL).await));
    }
    guards
}

/// The others go on for so long that without a renewal they would be lost.
async fn go_on(server: &Own, others: &[LockGuard]) {
    let before = server.command_calls("pexpire");
    until(|| server.command_calls("pexpire") >= before + 4 * others.len() as u64).await;
    for guard in others {
        assert!(!guard.is_lost(), "{guard:?}");
    }
}

#[tokio::test]
async fn a_key_of_another_type_loses_its_guard_at_once_and_no_other() {
    let server = own();
    let redis = redis_on(&server).await;
    let mut guards = guards(&Locks::new(redis.clone()).with_renewal()).await;
    let lost = guards.remove(2);
    raw_on(&server, &redis, "DEL", lost.key(), &[]);
    raw_on(&server, &redis, "LPUSH", lost.key(), &["x"]);
    let remaining = async {
        let mut last = lost.remaining();
        while !lost.is_lost() {
            last = lost.remaining();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        last
    };
    let remaining = tokio::time::timeout(HANG, remaining).await.unwrap();
    assert!(remaining > TTL / 4, "not by its deadline: {remaining:?} were left");
    go_on(&server, &guards).await;
    assert_eq!(raw_on(&server, &redis, "LLEN", lost.key(), &[]).int(), Some(1));
}

#[tokio::test]
async fn a_key_that_is_denied_loses_its_guard_in_time_and_no_other() {
    let server = own();
    let redis = redis_on(&server).await;
    let mut guards = guards(&Locks::new(redis.clone()).with_renewal()).await;
    let denied = guards.remove(2);
    for user in ["default", "auth"] {
        if !server.command(&["ACL", "GETUSER", user]).unwrap().is_nil() {
            let keys = ["0", "1", "3", "4"].map(|at| format!("~{{k}}{at}"));
            let words = ["ACL", "SETUSER", user, "resetkeys"].into_iter();
            let words: Vec<_> = words.chain(keys.iter().map(String::as_str)).collect();
            assert_eq!(server.command(&words).unwrap().text(), Some("OK"));
        }
    }
    let before = server.command_calls("evalsha");
    tokio::time::timeout(HANG, denied.lost()).await.expect("by its deadline");
    // It is tried again now and then, and the others are renewed.
    let calls = server.command_calls("evalsha") - before;
    assert!((3..=60).contains(&calls), "{calls}");
    go_on(&server, &guards).await;
}
