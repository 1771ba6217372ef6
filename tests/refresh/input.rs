//! What is refused at the edge.

use std::time::Duration;

use auth_adapter_redis::key::{SessionId, UserId};
use auth_adapter_redis::{Error, RefreshToken, RefreshTokens};

use crate::exposed::not_rotated;
use crate::stage::of_generation;
use crate::support::redis_on;
use crate::support::target::own;

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let server = own();
    let tokens = RefreshTokens::new(redis_on(&server).await);
    let (user, session) = (UserId::new("42").unwrap(), SessionId::new("phone").unwrap());
    let first = RefreshToken::new(&user, &session).unwrap();
    let next = first.next().unwrap();
    let others = [
        first.clone(),
        next.next().unwrap(),
        of_generation(&RefreshToken::new(&user, &session).unwrap(), 1),
        of_generation(&RefreshToken::new(&user, &SessionId::new("x").unwrap()).unwrap(), 1),
    ];
    let last = of_generation(&first, u32::MAX);
    for (presented, other) in others.iter().map(|other| (&first, other)).chain([(&last, &first)]) {
        let outcome = not_rotated(tokens.rotate(presented, other, b"").await);
        let what = "next refresh token";
        assert!(matches!(outcome, Err(Error::InvalidInput { what: w, .. }) if w == what));
    }
    assert!(last.next().is_err());
    let long = vec![b'x'; RefreshTokens::MAX_RESPONSE + 1];
    for tokens in [tokens.clone(), tokens.clone().with_window(Duration::ZERO).unwrap()] {
        let outcome = not_rotated(tokens.rotate(&first, &next, &long).await);
        assert!(matches!(outcome, Err(Error::InvalidInput { what: "response", .. })));
    }
    for window in [Duration::from_secs(601), Duration::from_nanos(1), Duration::MAX] {
        let outcome = tokens.clone().with_window(window);
        assert!(matches!(outcome, Err(Error::InvalidInput { what: "window", .. })));
    }
    for longest in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let outcome = tokens.clone().with_longest_session(longest);
        assert!(matches!(outcome, Err(Error::InvalidInput { what: "longest session", .. })));
    }
    assert!(tokens.with_window(RefreshTokens::MAX_WINDOW).is_ok());
    assert_eq!(server.command_calls("evalsha") + server.command_calls("eval"), 0);
}
