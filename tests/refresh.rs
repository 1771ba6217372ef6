//! Refresh tokens on a real server: of several rotations one wins, and what comes back ends its family.

#[path = "refresh/behind.rs"]
mod behind;
#[path = "refresh/exposed.rs"]
mod exposed;
#[path = "refresh/full.rs"]
mod full;
#[path = "refresh/input.rs"]
mod input;
#[path = "refresh/model.rs"]
mod model;
#[path = "refresh/packed.rs"]
mod packed;
#[path = "refresh/race.rs"]
mod race;
#[path = "refresh/reuse.rs"]
mod reuse;
#[path = "refresh/secrets.rs"]
mod secrets;
#[path = "refresh/stage.rs"]
mod stage;
mod support;
#[path = "refresh/text.rs"]
mod text;
#[path = "refresh/whole.rs"]
mod whole;

use std::time::Duration;

use auth_adapter_redis::key::{Keys, SessionId, TokenHash, UserId};
use auth_adapter_redis::refresh::{Issue, Lookup, Reuse, Revoke, Rotate};
use auth_adapter_redis::{Cache, RefreshToken, RefreshTokens, ServerErrorKind};
use exposed::{not_revoked, not_rotated};
use stage::{Stage, forge, of_generation, response};
use support::target::own;
use support::{assert_server, redis, set};

/// Past the window of 30 seconds.
const LATER: Duration = Duration::from_secs(31);

/// A user whose state is a list.
async fn mistaken() -> (Stage, RefreshToken) {
    let stage = Stage::new().await;
    let token = stage.first().await;
    assert_eq!(stage.raw("DEL", &[]).int(), Some(1));
    stage.raw("LPUSH", &[b"x"]);
    (stage, token)
}

fn still_a_list(stage: &Stage) {
    assert_eq!(stage.raw("LLEN", &[]).int(), Some(1));
    assert_eq!(stage.raw("PTTL", &[]).int(), Some(-1));
}

/// A session that is here, and a token of one that is not.
async fn stranger() -> (Stage, RefreshToken) {
    let stage = Stage::new().await;
    let token = RefreshToken::new(&stage.user, &SessionId::new("laptop").unwrap()).unwrap();
    (stage, token)
}

mod issue {
    use super::*;

    #[tokio::test]
    async fn gives_issued_and_again_to_a_repeat() {
        let stage = Stage::new().await;
        let token = RefreshToken::new(&stage.user, &stage.session).unwrap();
        assert_eq!(stage.tokens.issue(&token).await.unwrap(), Issue::Issued);
        let before = stage.fields();
        assert_eq!(stage.tokens.issue(&token).await.unwrap(), Issue::Issued);
        stage.unchanged_since(&before);
        assert_eq!(stage.tokens.lookup(&token).await.unwrap(), Lookup::Current);
    }

    #[tokio::test]
    async fn gives_behind_where_the_stored_one_is_as_late_or_later() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        let second = stage.next(&first).await;
        let before = stage.fields();
        let of_another_family = RefreshToken::new(&stage.user, &stage.session).unwrap();
        let forks = [first.next().unwrap(), of_generation(&of_another_family, 1)];
        for late in [&first, &of_another_family].into_iter().chain(&forks) {
            assert_eq!(stage.tokens.issue(late).await.unwrap(), Issue::Behind, "{late:?}");
            stage.unchanged_since(&before);
        }
        assert_eq!(stage.tokens.issue(&second).await.unwrap(), Issue::Issued);
        stage.unchanged_since(&before);
    }

    #[tokio::test]
    async fn gives_revoked_after_a_revoke_of_the_session() {
        let stage = Stage::new().await;
        let token = stage.first().await;
        stage.revoke().await;
        let before = stage.fields();
        assert_eq!(stage.tokens.issue(&token).await.unwrap(), Issue::Revoked);
        stage.unchanged_since(&before);
    }

    #[tokio::test]
    async fn gives_unknown_and_writes_nothing_where_the_session_is_absent() {
        let (stage, token) = stranger().await;
        let before = stage.fields();
        assert_eq!(stage.tokens.issue(&token).await.unwrap(), Issue::Unknown);
        stage.unchanged_since(&before);
        stage.raw("DEL", &[]);
        assert_eq!(stage.tokens.issue(&token).await.unwrap(), Issue::Unknown);
        assert_eq!(stage.raw("EXISTS", &[]).int(), Some(0));
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (stage, token) = mistaken().await;
        assert_server(stage.tokens.issue(&token).await, ServerErrorKind::WrongType);
        still_a_list(&stage);
    }

    #[tokio::test]
    async fn fails_oom_on_a_full_server_and_changes_nothing() {
        let stage = Stage::on(own()).await;
        let token = RefreshToken::new(&stage.user, &stage.session).unwrap();
        let before = stage.fields();
        set(stage.server(), "maxmemory", "1024");
        assert_server(stage.tokens.issue(&token).await, ServerErrorKind::OutOfMemory);
        stage.unchanged_since(&before);
    }
}

mod lookup {
    use super::*;

    /// What a token is worth, and that looking changed nothing.
    async fn looked_up(stage: &Stage, token: &RefreshToken) -> Lookup {
        let before = stage.fields();
        let found = stage.tokens.lookup(token).await.unwrap();
        assert_eq!(stage.fields(), before);
        found
    }

    #[tokio::test]
    async fn gives_current_for_what_can_be_rotated() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        assert_eq!(looked_up(&stage, &first).await, Lookup::Current);
        let second = stage.next(&first).await;
        assert_eq!(looked_up(&stage, &second).await, Lookup::Current);
    }

    #[tokio::test]
    async fn gives_replay_within_the_window() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        stage.next(&first).await;
        assert_eq!(looked_up(&stage, &first).await, Lookup::Replay);
    }

    #[tokio::test]
    async fn gives_superseded_for_an_older_one_within_the_window() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        stage.next(&stage.next(&first).await).await;
        assert_eq!(looked_up(&stage, &first).await, Lookup::Superseded);
    }

    #[tokio::test]
    async fn gives_spent_after_the_window_and_ends_nothing() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        let second = stage.next(&first).await;
        stage.age(LATER);
        assert_eq!(looked_up(&stage, &first).await, Lookup::Spent);
        stage.next(&second).await;
        stage.age(LATER);
        assert_eq!(looked_up(&stage, &first).await, Lookup::Spent);
        assert_eq!(stage.check().await, "active");
    }

    #[tokio::test]
    async fn gives_revoked_whoever_asks() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        let second = stage.next(&first).await;
        stage.revoke().await;
        for token in [first, second] {
            assert_eq!(looked_up(&stage, &token).await, Lookup::Revoked);
        }
    }

    #[tokio::test]
    async fn gives_unknown_for_a_session_without_tokens_or_without_a_trace() {
        let (stage, token) = stranger().await;
        assert_eq!(looked_up(&stage, &token).await, Lookup::Unknown);
        let token = RefreshToken::new(&stage.user, &stage.session).unwrap();
        assert_eq!(looked_up(&stage, &token).await, Lookup::Unknown);
        stage.raw("DEL", &[]);
        assert_eq!(stage.tokens.lookup(&token).await.unwrap(), Lookup::Unknown);
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (stage, token) = mistaken().await;
        assert_server(stage.tokens.lookup(&token).await, ServerErrorKind::WrongType);
        still_a_list(&stage);
    }
}

mod rotate {
    use super::*;

    #[tokio::test]
    async fn gives_rotated_with_the_expiry_that_never_moves() {
        let stage = Stage::new().await;
        let mut token = stage.first().await;
        let expires = stage.expiry();
        for _ in 0..5 {
            let next = token.next().unwrap();
            assert_eq!(stage.rotate(&token, &next).await, Rotate::Rotated { expires });
            let left = stage.raw("PTTL", &[]).int().unwrap();
            assert!((3_000_000..=3_600_000).contains(&left), "{left}");
            token = next;
        }
    }

    #[tokio::test]
    async fn gives_replayed_with_the_winners_bytes_within_the_window() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        for bytes in [&b""[..], b"\0\xff\r\n", &[7; RefreshTokens::MAX_RESPONSE]] {
            let stage = Stage::new().await;
            let first = stage.first().await;
            let won = stage.tokens.rotate(&first, &first.next().unwrap(), bytes).await.unwrap();
            assert!(matches!(won, Rotate::Rotated { .. }));
            let before = stage.fields();
            let replayed = Rotate::Replayed { response: bytes.to_vec() };
            assert_eq!(stage.present(&first).await, replayed);
            stage.unchanged_since(&before);
        }
        let second = stage.next(&first).await;
        stage.age(LATER - Duration::from_secs(5));
        assert_eq!(stage.present(&first).await, Rotate::Replayed { response: response(&second) });
    }

    #[tokio::test]
    async fn gives_superseded_to_a_slow_tab_and_the_family_lives() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        let third = stage.next(&stage.next(&first).await).await;
        let before = stage.fields();
        assert_eq!(stage.present(&first).await, Rotate::Superseded);
        stage.unchanged_since(&before);
        stage.next(&third).await;
    }

    #[tokio::test]
    async fn gives_previous_after_its_window() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        stage.next(&first).await;
        stage.age(LATER);
        assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Previous });
    }

    #[tokio::test]
    async fn gives_older_after_the_window() {
        let stage = Stage::new().await;
        let first = stage.first().await;
        stage.next(&stage.next(&first).await).await;
        stage.age(LATER);
        assert_eq!(stage.present(&first).await, Rotate::Reused { class: Reuse::Older });
    }

    #[tokio::test]
    async fn gives_revoked_after_a_revoke_of_the_session() {
        let stage = Stage::new().await;
        let token = stage.first().await;
        stage.revoke().await;
        let before = stage.fields();
        assert_eq!(stage.present(&token).await, Rotate::Revoked);
        stage.unchanged_since(&before);
    }

    #[tokio::test]
    async fn gives_unknown_and_writes_nothing_where_the_session_is_absent() {
        let (stage, token) = stranger().await;
        let before = stage.fields();
        assert_eq!(stage.present(&token).await, Rotate::Unknown);
        stage.unchanged_since(&before);
        let without_tokens = RefreshToken::new(&stage.user, &stage.session).unwrap();
        assert_eq!(stage.present(&without_tokens).await, Rotate::Unknown);
        stage.raw("DEL", &[]);
        assert_eq!(stage.present(&token).await, Rotate::Unknown);
        assert_eq!(stage.raw("EXISTS", &[]).int(), Some(0));
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (stage, token) = mistaken().await;
        let outcome = stage.tokens.rotate(&token, &token.next().unwrap(), b"").await;
        assert_server(not_rotated(outcome), ServerErrorKind::WrongType);
        still_a_list(&stage);
    }

    #[tokio::test]
    async fn fails_oom_on_a_full_server_and_changes_nothing() {
        let stage = Stage::on(own()).await;
        let token = stage.first().await;
        let before = stage.fields();
        set(stage.server(), "maxmemory", "1024");
        let outcome = stage.tokens.rotate(&token, &token.next().unwrap(), b"").await;
        assert_server(not_rotated(outcome), ServerErrorKind::OutOfMemory);
        stage.unchanged_since(&before);
        set(stage.server(), "maxmemory", "0");
        stage.next(&token).await;
    }
}

mod revoke {
    use super::*;

    #[tokio::test]
    async fn gives_ended_for_any_token_of_the_family() {
        for rotations in 0..3 {
            let stage = Stage::new().await;
            let first = stage.first().await;
            let mut current = first.clone();
            for _ in 0..rotations {
                current = stage.next(&current).await;
            }
            let version = stage.field("v");
            assert_eq!(stage.tokens.revoke(&first).await.unwrap(), Revoke::Ended);
            assert_ne!(stage.field("v"), version);
            assert_eq!(stage.present(&current).await, Rotate::Revoked);
            assert_eq!(stage.check().await, "revoked");
            assert_eq!(stage.create("phone").await, "revoked");
        }
    }

    #[tokio::test]
    async fn gives_revoked_to_a_repeat() {
        let stage = Stage::new().await;
        let token = stage.first().await;
        assert_eq!(stage.tokens.revoke(&token).await.unwrap(), Revoke::Ended);
        let before = stage.fields();
        assert_eq!(stage.tokens.revoke(&token).await.unwrap(), Revoke::Revoked);
        stage.unchanged_since(&before);
    }

    #[tokio::test]
    async fn gives_unknown_for_another_family_and_ends_nothing() {
        let stage = Stage::new().await;
        let token = RefreshToken::new(&stage.user, &stage.session).unwrap();
        assert_eq!(stage.tokens.revoke(&token).await.unwrap(), Revoke::Unknown);
        let first = stage.first().await;
        let before = stage.fields();
        for wrong in [token, forge(&first, |tail| tail[4] ^= 1)] {
            assert_eq!(stage.tokens.revoke(&wrong).await.unwrap(), Revoke::Unknown);
        }
        stage.unchanged_since(&before);
    }

    #[tokio::test]
    async fn fails_wrongtype_and_leaves_the_key_alone() {
        let (stage, token) = mistaken().await;
        let outcome = not_revoked(stage.tokens.revoke(&token).await);
        assert_server(outcome, ServerErrorKind::WrongType);
        still_a_list(&stage);
    }
}

mod lookup_hash {
    use super::*;

    #[tokio::test]
    async fn it_gives_what_the_caller_cached() {
        let redis = redis().await;
        let tokens = RefreshTokens::new(redis.clone());
        let (user, session) = (UserId::new("42").unwrap(), SessionId::new("phone").unwrap());
        let hash = RefreshToken::new(&user, &session).unwrap().hash();
        assert_eq!(tokens.lookup_hash(&hash).await.unwrap(), None);
        let cache = Cache::new(redis.clone());
        let key = redis.keys().refresh_token(&hash);
        cache.set(&key, r#"{"user": 42}"#, Keys::REFRESH_TOKEN_TTL).await.unwrap();
        let found = tokens.lookup_hash(&hash).await.unwrap();
        assert_eq!(found.as_deref(), Some(r#"{"user": 42}"#));
    }

    #[tokio::test]
    async fn it_fails_where_the_key_holds_no_string() {
        let redis = redis().await;
        let hash = TokenHash::new("9f86d0").unwrap();
        support::raw(&redis, "LPUSH", &redis.keys().refresh_token(&hash), &["x"]);
        let outcome = RefreshTokens::new(redis).lookup_hash(&hash).await;
        assert_server(outcome, ServerErrorKind::WrongType);
    }
}
