//! Everybody at once.

use auth_adapter_redis::refresh::{Issue, Lookup, Rotate};
use auth_adapter_redis::{Redis, RefreshToken, RefreshTokens};
use tokio::task::JoinSet;

use crate::stage::{Stage, response};
use crate::support::patient;
use crate::support::target::{own_behind_proxy, shared};

/// The stage's handle and two more, each with a connection of its own.
async fn three(stage: &Stage) -> [Redis; 3] {
    let another = async || {
        let redis = patient(shared()).prefix(stage.redis.prefix()).build().unwrap();
        redis.connected().await;
        redis
    };
    [stage.redis.clone(), another().await, another().await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_rotations_at_once_one_wins_and_the_others_get_its_bytes() {
    let stage = Stage::new().await;
    let handles = three(&stage).await.map(RefreshTokens::new);
    let mut token = stage.first().await;
    for round in 0..200 {
        let mut tasks = JoinSet::new();
        for task in 0..16 {
            let (tokens, token) = (handles[task % 3].clone(), token.clone());
            tasks.spawn(async move {
                let next = token.next().unwrap();
                let outcome = tokens.rotate(&token, &next, &response(&next)).await.unwrap();
                (next, outcome)
            });
        }
        let (mut winners, mut replayed) = (Vec::new(), Vec::new());
        for (next, outcome) in tasks.join_all().await {
            match outcome {
                Rotate::Rotated { .. } => winners.push(next),
                Rotate::Replayed { response } => replayed.push(response),
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!((winners.len(), replayed.len()), (1, 15), "round {round}");
        token = winners.remove(0);
        assert!(replayed.iter().all(|bytes| *bytes == response(&token)), "round {round}");
    }
    assert_eq!(token.generation(), 200);
}

/// Whichever comes first, the session is over and so are its tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_races_a_revoke_leaves_nothing_active() {
    let (mut rotated, mut revoked) = (0, 0);
    for _ in 0..100 {
        let stage = Stage::new().await;
        let first = stage.first().await;
        let next = first.next().unwrap();
        let [one, other, _] = three(&stage).await;
        let tokens = RefreshTokens::new(one);
        let rotation = {
            let (first, next) = (first.clone(), next.clone());
            tokio::spawn(async move { tokens.rotate(&first, &next, b"").await.unwrap() })
        };
        assert_eq!(stage.revoke_on(&other).await, 1);
        match rotation.await.unwrap() {
            Rotate::Rotated { .. } => rotated += 1,
            Rotate::Revoked => revoked += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(stage.check().await, "revoked");
        for token in [&first, &next] {
            assert_eq!(stage.tokens.lookup(token).await.unwrap(), Lookup::Revoked);
            assert_eq!(stage.present(token).await, Rotate::Revoked);
            assert_eq!(stage.tokens.issue(token).await.unwrap(), Issue::Revoked);
        }
        assert_eq!(stage.check().await, "revoked");
    }
    assert_eq!(rotated + revoked, 100);
}

/// A reused token against the rotation of the current one: the family ends, and nobody is left with a
/// token that works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_races_a_reuse_leaves_nothing_active() {
    for _ in 0..100 {
        let stage = Stage::new().await.with_window(std::time::Duration::ZERO);
        let first = stage.first().await;
        let second = stage.next(&first).await;
        let third = second.next().unwrap();
        let [one, other, _] = three(&stage).await;
        let present = |redis: Redis, token: &RefreshToken, next: RefreshToken| {
            let (token, tokens) = (token.clone(), RefreshTokens::new(redis));
            let tokens = tokens.with_window(std::time::Duration::ZERO).unwrap();
            tokio::spawn(async move { tokens.rotate(&token, &next, b"").await.unwrap() })
        };
        let rotation = present(one, &second, third.clone());
        let reuse = present(other, &first, first.next().unwrap());
        match (rotation.await.unwrap(), reuse.await.unwrap()) {
            // The first was only a slow tab: it came right after the rotation.
            (Rotate::Rotated { .. }, Rotate::Superseded) => {
                assert_eq!(stage.tokens.lookup(&third).await.unwrap(), Lookup::Current);
            }
            (Rotate::Revoked, Rotate::Reused { .. }) => {
                assert_eq!(stage.check().await, "revoked");
                assert_eq!(stage.present(&second).await, Rotate::Revoked);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The reply is cut off, so the connection sends the call again: executed twice, rotated once.
#[tokio::test]
async fn a_lost_reply_rotates_once_whatever_the_window() {
    for window in [0, 30] {
        let window = std::time::Duration::from_secs(window);
        let stage = Stage::on(own_behind_proxy()).await.with_window(window);
        let first = stage.first().await;
        let second = stage.next(&first).await;
        let third = second.next().unwrap();
        let before = stage.server().command_calls("evalsha");
        stage.server().proxy().drop_reply_to("EVALSHA");
        let outcome = stage.rotate(&second, &third).await;
        assert!(matches!(outcome, Rotate::Rotated { .. }), "{outcome:?}");
        assert_eq!(stage.server().command_calls("evalsha"), before + 2, "it executed twice");
        assert_eq!(stage.tokens.lookup(&third).await.unwrap(), Lookup::Current);
    }
}

#[tokio::test]
async fn a_lost_reply_still_tells_of_a_reuse() {
    let stage = Stage::on(own_behind_proxy()).await.with_window(std::time::Duration::ZERO);
    let first = stage.first().await;
    stage.next(&first).await;
    let before = stage.server().command_calls("evalsha");
    stage.server().proxy().drop_reply_to("EVALSHA");
    let outcome = stage.present(&first).await;
    assert!(matches!(outcome, Rotate::Reused { .. }), "{outcome:?}");
    assert_eq!(stage.server().command_calls("evalsha"), before + 2, "it executed twice");
}
