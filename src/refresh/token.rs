//! What a client holds: how it is made, spelt, read and hashed.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::key::{SessionId, TokenHash, UserId};
use crate::random::random;

/// What errors call it.
const WHAT: &str = "refresh token";
const FAMILY: usize = 16;
const SECRET: usize = 32;
/// Generation, secret of the family, secret of the token.
const TAIL: usize = 4 + FAMILY + SECRET;
/// The longest text: two ids of 512 bytes and the tail in base64, and two dots.
const MAX_TEXT: usize = 2 * 683 + 70 + 2;

/// A refresh token, for the client alone: the user, the session, 128 random bits that stay with the
/// session's *family* of tokens, a generation that counts its rotations, and 256 random bits of its
/// own.
///
/// What a client gets is the [text](Self::expose), what a database keeps is the [hash](Self::hash) of
/// it. Whoever has the text can be the client, so `Debug` and errors show nothing of its secrets, and
/// there is no `Display`.
///
/// ```
/// use auth_adapter_redis::RefreshToken;
/// use auth_adapter_redis::key::{SessionId, UserId};
///
/// let token = RefreshToken::new(&UserId::new("42")?, &SessionId::new("abc")?)?;
/// let text = token.expose(); // into a cookie
/// let presented = RefreshToken::parse(&text)?;
/// assert_eq!(presented, token);
/// let next = presented.next()?;
/// assert_eq!((next.session(), next.generation()), (token.session(), 1));
/// assert_ne!(next.hash(), token.hash());
/// # Ok::<(), auth_adapter_redis::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    user: UserId,
    session: SessionId,
    generation: u32,
    family: [u8; FAMILY],
    secret: [u8; SECRET],
}

impl RefreshToken {
    /// The first token of a session, of a new family.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where the system gives no random bytes.
    pub fn new(user: &UserId, session: &SessionId) -> Result<Self> {
        Ok(Self {
            user: user.clone(),
            session: session.clone(),
            generation: 0,
            family: random()?,
            secret: random()?,
        })
    }

    /// The token that is to take the place of this one: the next generation of the same family.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`Error::InvalidInput`] after four billion generations.
    pub fn next(&self) -> Result<Self> {
        let generation = self.generation.checked_add(1);
        let generation =
            generation.ok_or_else(|| Error::invalid(WHAT, "is of the last generation"))?;
        Ok(Self { generation, secret: random()?, ..self.clone() })
    }

    /// Reads what a client presents. That proves nothing: anyone can write such a text.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for every text that [`expose`](Self::expose) does not give. It shows
    /// nothing of the text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| Error::invalid(WHAT, "is malformed"))
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let mut parts = text.split('.').map(|part| BASE64.decode(part).ok());
        let (user, session, tail) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() || tail.len() != TAIL {
            return None;
        }
        let (generation, secrets) = tail.split_first_chunk()?;
        let (family, secret) = secrets.split_first_chunk()?;
        Some(Self {
            user: UserId::new(String::from_utf8(user).ok()?).ok()?,
            session: SessionId::new(String::from_utf8(session).ok()?).ok()?,
            generation: u32::from_be_bytes(*generation),
            family: *family,
            secret: secret.try_into().ok()?,
        })
    }

    /// The text for the client: at most 1438 letters, digits, `-`, `_` and `.`. Nobody else may see
    /// it.
    pub fn expose(&self) -> String {
        let mut tail = [0; TAIL];
        tail[..4].copy_from_slice(&self.generation.to_be_bytes());
        tail[4..4 + FAMILY].copy_from_slice(&self.family);
        tail[4 + FAMILY..].copy_from_slice(&self.secret);
        let mut text = BASE64.encode(self.user.as_str());
        text.push('.');
        BASE64.encode_string(self.session.as_str(), &mut text);
        text.push('.');
        BASE64.encode_string(tail, &mut text);
        text
    }

    /// What a database stores of it, and what names its cached record: the SHA-256 of the text in hex.
    pub fn hash(&self) -> TokenHash {
        let mut hex = String::with_capacity(64);
        for byte in self.digest() {
            // Writing into memory does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        TokenHash::new(hex).expect("hex is a good hash")
    }

    /// Whose it says it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The session that it says it is of.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// How many rotations came before it.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The SHA-256 of the text.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }

    /// The SHA-256 of what stays in the family.
    pub(super) fn family_digest(&self) -> [u8; 32] {
        Sha256::digest(self.family).into()
    }

    /// What the key of its replay payload is made of.
    pub(super) fn secret(&self) -> &[u8; SECRET] {
        &self.secret
    }

    /// The same secrets under other ids.
    #[cfg(test)]
    pub(super) fn with_ids(&self, user: &str, session: &str, generation: u32) -> Self {
        let (user, session) = (UserId::new(user).unwrap(), SessionId::new(session).unwrap());
        Self { user, session, generation, ..self.clone() }
    }

    /// Whether this is what [`next`](Self::next) gives for `earlier`.
    pub(super) fn follows(&self, earlier: &Self) -> bool {
        self.user == earlier.user
            && self.session == earlier.session
            && self.family == earlier.family
            && earlier.generation.checked_add(1) == Some(self.generation)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken")
            .field("user", &self.user)
            .field("session", &self.session)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
