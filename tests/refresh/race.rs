//! Everybody at once.

use auth_adapter_redis::refresh::{Issue, Lookup, Revoke, Rotate};
use auth_adapter_redis::{Redis, RefreshToken, RefreshTokens};
use tokio::task::JoinSet;

use crate::stage::{Stage, forge, of_generation, response};
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

/// Two tabs are faster than a third, whose token is replayed before the second rotation and superseded
/// after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_tab_that_races_two_rotations_ends_nothing() {
    let (mut early, mut late) = (0, 0);
    for _ in 0..100 {
        let stage = Stage::new().await;
        let first = stage.first().await;
        let second = stage.next(&first).await;
        let third = second.next().unwrap();
        let [one, other, _] = three(&stage).await.map(RefreshTokens::new);
        let present = || async {
            let next = first.next().unwrap();
            other.rotate(&first, &next, b"").await.unwrap()
        };
        let rotation = one.rotate(&second, &third, b"");
        let (before, rotated, after) = tokio::join!(present(), rotation, present());
        let (rotated, outcomes) = (rotated.unwrap(), [before, after]);
        assert!(matches!(rotated, Rotate::Rotated { .. }), "{rotated:?}");
        for outcome in outcomes {
            match outcome {
                Rotate::Replayed { response: bytes } => {
                    assert_eq!(bytes, response(&second));
                    early += 1;
                }
                Rotate::Superseded => late += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(stage.check().await, "active");
        stage.next(&third).await;
    }
    assert!(early > 0 && late > 0, "both came first at times: {early}, {late}");
}

/// Whoever merely saw the ids of a session, at the very moment that its owner refreshes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_that_race_a_rotation_end_nothing_and_win_nothing() {
    let stage = Stage::new().await;
    let handles = three(&stage).await.map(RefreshTokens::new);
    let made_up = RefreshToken::new(&stage.user, &stage.session).unwrap();
    let mut token = stage.first().await;
    for round in 0..50_u32 {
        let mut forgeries = JoinSet::new();
        for task in 0..16 {
            let generation = (round + task).saturating_sub(8);
            let forged = match task % 2 {
                0 => of_generation(&made_up, generation),
                // All but one bit of the family's secret is right.
                _ => forge(&of_generation(&token, generation), |tail| tail[4] ^= 1),
            };
            let tokens = handles[task as usize % 3].clone();
            forgeries.spawn(async move {
                let rotated = tokens.rotate(&forged, &forged.next().unwrap(), b"").await.unwrap();
                let revoked = tokens.revoke(&forged).await.unwrap();
                (rotated, revoked)
            });
        }
        token = stage.next(&token).await;
        for outcomes in forgeries.join_all().await {
            assert_eq!(outcomes, (Rotate::Unknown, Revoke::Unknown), "round {round}");
        }
        assert_eq!(stage.tokens.lookup(&token).await.unwrap(), Lookup::Current);
        assert_eq!(stage.check().await, "active");
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
