//! Whose token ends what: a thief's, a slow tab's, and one that somebody made up.

use std::time::Duration;

use auth_adapter_redis::RefreshToken;
use auth_adapter_redis::refresh::{Issue, Lookup, Reuse, Rotate};

use crate::LATER;
use crate::stage::{DEAD, Stage, forge, number, of_generation, response};

const SECOND: Duration = Duration::from_secs(1);

/// A session with three rotations behind it.
async fn chain() -> (Stage, [RefreshToken; 4]) {
    let stage = Stage::new().await;
    let first = stage.first().await;
    let second = stage.next(&first).await;
    let third = stage.next(&second).await;
    let fourth = stage.next(&third).await;
    (stage, [first, second, third, fourth])
}

/// The session is over, and nothing brings it back.
async fn is_over(stage: &Stage, version: &[u8], tokens: &[RefreshToken]) {
    let tombstone = stage.packed();
    assert_eq!(tombstone[6..8], DEAD, "a tombstone is all that is left of it");
    assert_eq!(number(&tombstone[..6]), stage.expires, "until the absolute expiry");
    let left = stage.raw("PTTL", &[]).int().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let now = stage.field("v").unwrap();
    assert_ne!(now, version, "what was read before is stale");
    assert_eq!(stage.check().await, "revoked");
    assert_eq!(stage.create("phone").await, "revoked");
    for version in [version, &now] {
        assert_eq!(stage.confirm(version).await, "revoked");
    }
    assert_eq!(stage.fill(version).await, ["stale"]);
    assert_eq!(stage.fill(&now).await, ["filled", "phone"]);
    let new = RefreshToken::new(&stage.user, &stage.session).unwrap();
    for token in tokens.iter().chain([&new]) {
        assert_eq!(stage.tokens.issue(token).await.unwrap(), Issue::Revoked);
        assert_eq!(stage.tokens.lookup(token).await.unwrap(), Lookup::Revoked);
    }
    assert_eq!(stage.check().await, "revoked");
}

#[tokio::test]
async fn each_class_of_reuse_ends_the_family_for_good() {
    for (which, class) in [(2, Reuse::Previous), (1, Reuse::Older), (0, Reuse::Older)] {
        let (stage, tokens) = chain().await;
        assert_eq!(stage.create("laptop").await, "created");
        let version = stage.field("v").unwrap();
        stage.age(LATER);
        assert_eq!(stage.present(&tokens[which]).await, Rotate::Reused { class });
        is_over(&stage, &version, &tokens).await;
        assert!(stage.field("s:laptop").is_some(), "another session of the user lives");
        for (at, token) in tokens.iter().enumerate() {
            // The same one again is told the same, so that a retry misses nothing.
            let told = if at == which { Rotate::Reused { class } } else { Rotate::Revoked };
            assert_eq!(stage.present(token).await, told);
        }
    }
}

#[tokio::test]
async fn an_older_token_ends_nothing_while_the_window_of_a_later_rotation_is_open() {
    let stage = Stage::new().await;
    let first = stage.first().await;
    let second = stage.next(&first).await;
    stage.age(40 * SECOND);
    let third = stage.next(&second).await;
    stage.age(25 * SECOND);
    assert_eq!(stage.present(&first).await, Rotate::Superseded, "its own window is long over");
    assert_eq!(stage.present(&second).await, Rotate::Replayed { response: response(&third) });
    stage.age(6 * SECOND);
    assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Older });
}

#[tokio::test]
async fn without_a_window_the_previous_token_is_reuse_at_once() {
    let stage = Stage::new().await.with_window(Duration::ZERO);
    let first = stage.first().await;
    stage.next(&first).await;
    assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Previous });
}

/// Two tabs are faster than a third: that must not end the session, even without a window.
#[tokio::test]
async fn for_five_seconds_an_older_token_ends_nothing_whatever_the_window() {
    for window in [0, 1, 4] {
        let stage = Stage::new().await.with_window(window * SECOND);
        let first = stage.first().await;
        let third = stage.next(&stage.next(&first).await).await;
        stage.age(4 * SECOND);
        assert_eq!(stage.tokens.lookup(&first).await.unwrap(), Lookup::Superseded);
        assert_eq!(stage.present(&first).await, Rotate::Superseded);
        assert_eq!(stage.tokens.lookup(&third).await.unwrap(), Lookup::Current);
        stage.age(SECOND);
        assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Older });
    }
}

/// On the server's own clock, and no time is turned back here.
#[tokio::test]
async fn the_window_ends_by_itself() {
    let stage = Stage::new().await.with_window(Duration::from_millis(300));
    let first = stage.first().await;
    stage.next(&first).await;
    let started = std::time::Instant::now();
    while stage.tokens.lookup(&first).await.unwrap() == Lookup::Replay {
        assert!(started.elapsed() < crate::support::HANG);
    }
    assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Previous });
}

/// Who merely saw the ids, or guesses.
#[tokio::test]
async fn a_wrong_secret_of_the_family_is_unknown_and_ends_nothing() {
    let (stage, tokens) = chain().await;
    stage.age(LATER);
    let before = stage.fields();
    let made_up = RefreshToken::new(&stage.user, &stage.session).unwrap();
    for generation in 0..6 {
        for forged in [
            of_generation(&made_up, generation),
            forge(&of_generation(&tokens[3], generation), |tail| tail[4] ^= 0x80),
            forge(&of_generation(&tokens[0], generation), |tail| tail[19] ^= 1),
        ] {
            assert_eq!(stage.present(&forged).await, Rotate::Unknown);
            assert_eq!(stage.tokens.lookup(&forged).await.unwrap(), Lookup::Unknown);
            stage.unchanged_since(&before);
        }
    }
    stage.next(&tokens[3]).await;
}

#[tokio::test]
async fn a_newer_generation_or_another_hash_of_a_known_one_is_unknown() {
    let (stage, tokens) = chain().await;
    for age in [Duration::ZERO, LATER] {
        stage.age(age);
        let before = stage.fields();
        for unknown in [
            tokens[3].next().unwrap(),
            of_generation(&tokens[3], 4),
            of_generation(&tokens[3], u32::MAX - 1),
            forge(&tokens[3], |tail| tail[51] ^= 1),
            of_generation(&tokens[2], 3),
            forge(&tokens[2], |tail| tail[20] ^= 0x80),
            of_generation(&tokens[3], 2),
        ] {
            assert_eq!(stage.present(&unknown).await, Rotate::Unknown, "{unknown:?}");
            assert_eq!(stage.tokens.lookup(&unknown).await.unwrap(), Lookup::Unknown);
            stage.unchanged_since(&before);
        }
    }
}

/// As far as it goes: a lost reply of the winner, sent once more much later.
#[tokio::test]
async fn a_repeat_of_the_winning_call_is_rotated_whatever_the_window() {
    for window in [0, 30] {
        let stage = Stage::new().await.with_window(window * SECOND);
        let first = stage.first().await;
        let second = stage.next(&first).await;
        for age in [0, 4, 3600] {
            stage.age(age * SECOND);
            let before = stage.fields();
            let outcome = stage.rotate(&first, &second).await;
            assert!(matches!(outcome, Rotate::Rotated { .. }), "{outcome:?}");
            stage.unchanged_since(&before);
        }
        stage.next(&second).await;
    }
}

#[tokio::test]
async fn a_second_execution_of_a_consumed_rotation_ends_nothing_for_as_long_as_it_can_be_late() {
    let stage = Stage::new().await.with_window(Duration::ZERO);
    let first = stage.first().await;
    let second = stage.next(&first).await;
    let third = stage.next(&second).await;
    stage.age(4 * SECOND);
    assert_eq!(stage.rotate(&first, &second).await, Rotate::Superseded);
    stage.next(&third).await;
}
