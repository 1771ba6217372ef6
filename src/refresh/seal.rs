//! The payload that a rotation leaves for those who come a moment later, sealed so that only who
//! presents the same token can open it.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;

use super::token::RefreshToken;
use crate::error::{Error, Result};
use crate::random::random;

/// Names what the key is for, so that no other key made of the same secret equals it.
const INFO: &[u8] = b"auth-adapter-redis: response of a rotation, sealed by the token it consumed";
const NONCE: usize = 12;

/// Seals `response` for whoever presents `token`: a random nonce, then ChaCha20-Poly1305 under a key
/// of that token's own (HKDF-SHA256), bound to its user, session and generation.
pub(super) fn seal(token: &RefreshToken, response: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE] = random()?;
    let about = about(token);
    let payload = Payload { msg: response, aad: &about };
    let sealed = cipher(token).encrypt(&Nonce::from(nonce), payload);
    let sealed = sealed.map_err(|_| Error::invalid("response", "could not be sealed"))?;
    Ok([&nonce[..], &sealed].concat())
}

/// What was sealed for `token`; none where it was not, or has been changed since.
pub(super) fn open(token: &RefreshToken, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let about = about(token);
    let payload = Payload { msg: sealed, aad: &about };
    cipher(token).decrypt(&Nonce::from(*nonce), payload).ok()
}

fn cipher(token: &RefreshToken) -> ChaCha20Poly1305 {
    let mut key = Key::default();
    let derived = Hkdf::<Sha256>::new(None, token.secret());
    derived.expand(INFO, &mut key).expect("32 bytes are not too many");
    ChaCha20Poly1305::new(&key)
}

/// What the payload is bound to. Only the last of it has no fixed or stated length, so no two tokens
/// give the same.
fn about(token: &RefreshToken) -> Vec<u8> {
    let user = token.user().as_str().as_bytes();
    let generation = token.generation().to_be_bytes();
    let length = (user.len() as u32).to_be_bytes();
    [&generation[..], &length, user, token.session().as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{SessionId, UserId};

    fn token() -> RefreshToken {
        RefreshToken::new(&UserId::new("42").unwrap(), &SessionId::new("abc").unwrap()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_was_sealed_opens_with_the_same_token_alone(response: Vec<u8>) {
            let token = token();
            let sealed = seal(&token, &response).unwrap();
            prop_assert_eq!(sealed.len(), NONCE + response.len() + 16);
            prop_assert_eq!(open(&token, &sealed), Some(response.clone()));
            prop_assert_ne!(&seal(&token, &response).unwrap(), &sealed);
            prop_assert_eq!(open(&token.next().unwrap(), &sealed), None);
            prop_assert_eq!(open(&super::tests::token(), &sealed), None);
        }

        #[test]
        fn a_changed_or_shortened_payload_does_not_open(
            response: Vec<u8>,
            at: prop::sample::Index,
            with in 1..=u8::MAX,
        ) {
            let token = token();
            let mut sealed = seal(&token, &response).unwrap();
            let at = at.index(sealed.len());
            prop_assert_eq!(open(&token, &sealed[..at]), None);
            sealed[at] ^= with;
            prop_assert_eq!(open(&token, &sealed), None);
        }
    }

    /// The same secret under other ids: only what is bound to the payload differs.
    #[test]
    fn a_payload_is_bound_to_its_user_session_and_generation() {
        let token = token();
        let sealed = seal(&token, b"response").unwrap();
        for (user, session, generation) in
            [("43", "abc", 0), ("42", "abd", 0), ("42", "abc", 1), ("42a", "bc", 0)]
        {
            let other = token.with_ids(user, session, generation);
            assert_eq!(other.secret(), token.secret());
            assert_eq!(open(&other, &sealed), None, "{user} {session} {generation}");
        }
        assert_eq!(open(&token.with_ids("42", "abc", 0), &sealed), Some(b"response".to_vec()));
    }
}
