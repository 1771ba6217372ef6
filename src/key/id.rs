//! Ids and names from outside, checked once, where they enter.

use std::fmt;

use crate::error::{Error, Result};

/// The longest id or name, in bytes.
const MAX_ID: usize = 512;
/// The longest key that the cache and the locks take, in bytes: two of the longest ids and more.
const MAX_KEY: usize = 2048;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr, $show:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and takes an id.
            ///
            /// # Errors
            ///
            /// [`Error::InvalidInput`] where the id is empty, longer than 512 bytes, has a control
            /// character, or breaks the rule of this type.
            pub fn new(id: impl AsRef<str>) -> Result<Self> {
                let id = id.as_ref();
                check_name($what, id)?;
                let check: fn(&str) -> Result<()> = $check;
                check(id)?;
                Ok(Self(id.into()))
            }

            /// The id as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let show: fn(&str) -> &str = $show;
                write!(f, concat!(stringify!($name), "({:?})"), show(&self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(id: &str) -> Result<Self> {
                Self::new(id)
            }
        }
    };
}

id! {
    /// A user's id: the hash tag of that user's keys, so it has no braces; and it does not end in
    /// `:state`, which would spell another user's state key.
    UserId, "user id", |id| {
        no_braces("user id", id)?;
        if id.ends_with(":state") {
            return Err(Error::invalid("user id", "must not end in \":state\""));
        }
        Ok(())
    }, |id| id
}

id! {
    /// A session's id. It is not a secret of its own: [`Debug`](fmt::Debug) shows it.
    SessionId, "session id", |_| Ok(()), |id| id
}

id! {
    /// The hash of a refresh token, as the caller's database stores it, without braces: its key has no
    /// hash tag. Never the raw token: [`Debug`](fmt::Debug) shows none of it, in case it was one.
    TokenHash, "token hash", |hash| no_braces("token hash", hash), |_| "…"
}

/// What every id and name from outside must be.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<()> {
    check_text(what, name, MAX_ID)
}

/// Checks a key before anything is sent, as the cache and the locks do. Braces are the caller's: a
/// hash tag of its choice.
///
/// # Errors
///
/// [`Error::InvalidInput`] where the key is empty, over 2048 bytes, or has control characters.
pub fn check_key(key: &str) -> Result<()> {
    check_text("key", key, MAX_KEY)
}

/// What an application prefix must be: empty, or a name without braces, since a tag in it would put
/// every user into one slot.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    check_name("prefix", prefix)?;
    no_braces("prefix", prefix)
}

fn check_text(what: &'static str, text: &str, max: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(what, "must not be empty"));
    }
    if text.len() > max {
        let why = format!("must not be longer than {max} bytes, has {}", text.len());
        return Err(Error::invalid(what, why));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(what, "must not have control characters"));
    }
    Ok(())
}

fn no_braces(what: &'static str, text: &str) -> Result<()> {
    if text.contains(['{', '}']) {
        return Err(Error::invalid(what, "must not have braces"));
    }
    Ok(())
}
