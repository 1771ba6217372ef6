//! All locks whose keys begin so, wherever they are.

use super::*;

async fn names(locks: &Leases, beginning: &str) -> Vec<String> {
    let listed = locks.list(beginning).await.unwrap();
    listed.into_iter().map(|(key, _)| key).collect()
}

/// So many that they lie on every primary of a cluster and on several pages.
#[tokio::test]
async fn it_finds_every_lock_with_its_owner_and_nothing_else() {
    let (locks, redis) = locks().await;
    let mut expected = Vec::new();
    for at in 0..50 {
        let (key, owner) = (format!("job:{at:02}"), format!("owner-{at}"));
        let locks = locks.clone().with_owner(&owner).unwrap();
        let outcome = locks.acquire(&key, LONG).await.unwrap();
        assert!(matches!(outcome, Acquire::Acquired(_)), "{outcome:?}");
        expected.push((key, owner));
    }
    let outcome = locks.acquire("other", LONG).await.unwrap();
    assert!(matches!(outcome, Acquire::Acquired(_)), "{outcome:?}");
    raw(&redis, "SET", "job:cached", &["a value"]);
    raw(&redis, "SET", "job:foreign", &["1", "NX", "EX", "60"]);
    raw(&redis, "LPUSH", "job:list", &["x"]);
    raw(&redis, "SET", "job:{held}:fence", &[&format!("7:{}", holder('a'))]);
    let listed = locks.list("job:").await.unwrap();
    for (_, info) in &listed {
        let left = info.left.unwrap();
        assert!(left <= LONG && left > LONG / 2, "{left:?}");
    }
    let listed: Vec<_> = listed.into_iter().map(|(key, info)| (key, info.owner.unwrap())).collect();
    assert_eq!(listed, expected);
    assert_eq!(names(&locks, "job:0").await.len(), 10);
    assert_eq!(names(&locks, "").await.len(), 51);
    assert_eq!(names(&locks, "nothing").await, [""; 0]);
}

#[tokio::test]
async fn what_is_a_pattern_elsewhere_is_only_a_name() {
    let (locks, _) = locks().await;
    for key in ["a*b", "a?b", "a[x]b", "a\\b", "axb", "日本語", "a}b"] {
        let outcome = locks.acquire(key, LONG).await.unwrap();
        assert!(matches!(outcome, Acquire::Acquired(_)), "{outcome:?}");
    }
    for key in ["a*b", "a?b", "a[x]b", "a\\b", "日本語", "a}b"] {
        assert_eq!(names(&locks, key).await, [key]);
        let part: String = key.chars().take(2).collect();
        assert_eq!(names(&locks, &part).await, [key]);
    }
}

#[tokio::test]
async fn it_goes_on_over_many_pages() {
    let server = own();
    let redis = redis_on(&server).await;
    let locks = Leases::new(redis.clone());
    let words = (0..5000).flat_map(|at| [format!("{{k}}{at}"), "a value".to_owned()]);
    let words: Vec<_> = ["MSET".to_owned()].into_iter().chain(words).collect();
    assert_eq!(server.command(&words).unwrap().text(), Some("OK"));
    let _token = acquired(&locks, LONG).await;
    assert_eq!(names(&locks, "lo").await, ["lock"]);
    assert!(server.command_calls("scan") >= 5);
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let server = own();
    let locks = Leases::new(redis_on(&server).await);
    for beginning in ["a\nb", &"a".repeat(2049)] {
        let outcome = locks.list(beginning).await;
        assert!(matches!(outcome, Err(Error::InvalidInput { .. })), "{outcome:?}");
    }
    assert_eq!(server.command_calls("scan"), 0);
}
