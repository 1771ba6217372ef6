//! Fuzz targets: what comes from outside, held against laws.
//!
//! A law stands beside what it is about, in a file `laws.rs`. `make fuzz` searches for bytes that break
//! one; `cargo test` goes through the corpus in `__fuzz__` and a few random bytes.

use bolero::check;

use crate::{connection, error, key, lock, rate, refresh, script, session};

/// How many random inputs `cargo test` tries after the corpus.
const RANDOM: usize = 200;

/// What a server may answer, as it stands on the wire, and to whom it means something.
#[test]
fn replies() {
    check!(name = "replies").with_iterations(RANDOM).for_each(|bytes: &[u8]| {
        let Ok(value) = redis::parse_redis_value(bytes) else { return };
        script::laws::reply(&value);
        session::laws::reply(&value);
        refresh::laws::reply(&value);
        lock::laws::reply(&value);
        rate::laws::reply(&value);
        connection::laws::reply(&value);
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('-');
        let (code, message) = text.split_once(' ').unwrap_or((text, ""));
        error::laws::classification(code, message);
    });
}

/// A script, with the fragments that it may include.
#[test]
fn headers() {
    for script in script::library().iter() {
        assert!(script::laws::header(script.source()), "{}", script.name());
    }
    check!(name = "headers").with_iterations(RANDOM).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        script::laws::header(&text);
        script::laws::includes(&text);
    });
}

/// A URL, in which each `~` is a secret; or a user and a password, on two lines.
#[test]
fn urls() {
    check!(name = "urls").with_iterations(RANDOM).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace('~', connection::laws::SECRET);
        connection::laws::url(&text);
        let (user, password) = text.split_once('\n').unwrap_or((&text, ""));
        connection::laws::login(user, password);
    });
}

/// A prefix, and a name on each of two lines after it.
#[test]
fn keys() {
    check!(name = "keys").with_iterations(RANDOM).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.splitn(3, '\n');
        let mut line = || lines.next().unwrap_or_default();
        let (prefix, one, other) = (line(), line(), line());
        for name in [prefix, one, other] {
            key::laws::checks(name);
        }
        key::laws::slots(&text);
        key::laws::companions(prefix, one);
        key::laws::patterns(prefix, one, other);
    });
}

/// What a client presents, what stands at a lock, what is published, and what was sealed.
#[test]
fn tokens() {
    check!(name = "tokens").with_iterations(RANDOM).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        refresh::laws::text(&text);
        refresh::laws::parts(&text);
        refresh::laws::sealed(bytes);
        lock::laws::grant(bytes);
        lock::laws::holder(bytes);
    });
}
