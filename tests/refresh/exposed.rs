//! A rotation or a revoke that came to nothing says what stays open for how long.

use std::time::Duration;

use auth_adapter_redis::key::{SessionId, UserId};
use auth_adapter_redis::{Error, ExposedError, RefreshToken, RefreshTokens};

use crate::support::target::own;
use crate::support::{exposed, redis_on};

const DAY: Duration = Duration::from_secs(86_400);
const NOT_ROTATED: &str = "the refresh token was not rotated and may pass for the current one";
const NOT_REVOKED: &str = "the session was not revoked and its refresh tokens may pass";

#[track_caller]
pub fn not_rotated<T>(outcome: Result<T, ExposedError>) -> Result<T, Error> {
    exposed(outcome, NOT_ROTATED, DAY * 30)
}

#[track_caller]
pub fn not_revoked<T>(outcome: Result<T, ExposedError>) -> Result<T, Error> {
    exposed(outcome, NOT_REVOKED, DAY * 30)
}

#[tokio::test]
async fn what_never_came_leaves_a_token_open_as_long_as_a_session_can_last() {
    let server = own();
    let month = RefreshTokens::new(redis_on(&server).await);
    let week = month.clone().with_longest_session(DAY * 7).unwrap();
    server.kill().unwrap();
    let (user, session) = (UserId::new("42").unwrap(), SessionId::new("phone").unwrap());
    let first = RefreshToken::new(&user, &session).unwrap();
    let next = first.next().unwrap();
    for (tokens, days) in [(month, 30), (week, 7)] {
        let rotated = exposed(tokens.rotate(&first, &next, b"").await, NOT_ROTATED, DAY * days);
        let revoked = exposed(tokens.revoke(&first).await, NOT_REVOKED, DAY * days);
        for error in [rotated.unwrap_err(), revoked.unwrap_err()] {
            assert!(error.is_node_fault(), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_boxes_its_errors_needs_no_words_for_it() {
    async fn refuse(tokens: RefreshTokens) -> Result<(), Box<dyn std::error::Error>> {
        let token = RefreshToken::new(&UserId::new("42")?, &SessionId::new("phone")?)?;
        let _rotated = tokens.rotate(&token, &token, b"").await?;
        Ok(())
    }
    let error = refuse(RefreshTokens::new(redis_on(&own()).await)).await.unwrap_err();
    assert!(error.source().is_some_and(|source| source.is::<Error>()), "{error}");
}
