//! What holds for every refresh token, and for every reply about one.

use std::sync::LazyLock;

use redis::Value;

use super::outcome::Rotate;
use super::rotated;
use super::seal::{open, seal};
use super::token::RefreshToken;
use crate::key::{SessionId, UserId};
use crate::script::laws::{read, tells_shapes_alone};

static TOKEN: LazyLock<RefreshToken> = LazyLock::new(|| {
    RefreshToken::new(&UserId::new("42").unwrap(), &SessionId::new("abc").unwrap()).unwrap()
});

/// A rotation is what its reply names, and nothing opens that was not sealed for the token.
pub(crate) fn reply(value: &Value) {
    let Some(words) = read::<Vec<Value>>(value) else { return };
    match rotated(&TOKEN, words.clone()) {
        Err(error) => tells_shapes_alone(&error, value),
        Ok(Rotate::Replayed { .. }) => panic!("opened what nobody sealed"),
        Ok(rotate) => {
            let details = usize::from(matches!(rotate, Rotate::Rotated { .. }));
            assert_eq!(words.len(), 1 + details, "{rotate:?} of {words:?}");
        }
    }
}

/// Of each token there is one text, and no other text is a token.
pub(crate) fn text(text: &str) {
    match RefreshToken::parse(text) {
        Ok(token) => {
            assert_eq!(token.expose(), text);
            holds(&token);
        }
        Err(error) => assert_eq!(error.to_string(), "invalid refresh token: is malformed"),
    }
}

/// The same of a token that is made of a user, a session and a generation.
pub(crate) fn parts(text: &str) {
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (user, session, generation) = (line(), line(), line());
    if UserId::new(user).is_ok() && SessionId::new(session).is_ok() {
        let generation = generation.parse().unwrap_or(u32::MAX);
        let token = TOKEN.with_ids(user, session, generation);
        assert_eq!(RefreshToken::parse(&token.expose()).ok().as_ref(), Some(&token));
        holds(&token);
    }
}

/// What was sealed opens, and other bytes do not.
pub(crate) fn sealed(bytes: &[u8]) {
    assert_eq!(open(&TOKEN, bytes), None);
    let sealed = seal(&TOKEN, bytes).unwrap();
    assert_eq!(open(&TOKEN, &sealed).as_deref(), Some(bytes));
}

fn holds(token: &RefreshToken) {
    let text = token.expose();
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
    assert!(text.len() <= 1438);
    assert_eq!(token.hash().as_str().len(), 64);
    let tail = text.rsplit('.').next().unwrap();
    // An id that has it in it was given so.
    let is_in_id =
        [token.user().as_str(), token.session().as_str()].iter().any(|id| id.contains(tail));
    assert!(is_in_id || !format!("{token:?}").contains(tail));
    match token.next() {
        Ok(next) => {
            assert!(next.follows(token) && !token.follows(&next) && next.expose() != text);
        }
        Err(_) => assert_eq!(token.generation(), u32::MAX),
    }
}
