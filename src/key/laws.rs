//! What holds for every name and every key.

use std::collections::BTreeMap;

use super::{Keys, Layout, SessionId, TokenHash, UserId, check_key, check_prefix, companion, slot};
use crate::error::Error;

/// A name is taken as it is, or refused without being told.
pub(crate) fn checks(name: &str) {
    let braces = name.contains(['{', '}']);
    let text =
        |most: usize| (1..=most).contains(&name.len()) && !name.chars().any(char::is_control);
    let user = UserId::new(name).map(|id| (id.to_string(), id.as_str() == name));
    is_taken(name, user, text(512) && !braces && !name.ends_with(":state"));
    let session = SessionId::new(name).map(|id| (id.to_string(), id.as_str() == name));
    is_taken(name, session, text(512));
    let hash = TokenHash::new(name);
    assert!(
        hash.as_ref().is_ok_and(|hash| format!("{hash:?}") == "TokenHash(\"…\")") || hash.is_err()
    );
    is_taken(name, hash.map(|id| (id.to_string(), id.as_str() == name)), text(512) && !braces);
    let verbatim = || (name.to_owned(), true);
    is_taken(name, check_key(name).map(|()| verbatim()), text(2048));
    let prefix = name.is_empty() || text(512) && !braces;
    is_taken(name, check_prefix(name).map(|()| verbatim()), prefix);
}

fn is_taken(name: &str, taken: Result<(String, bool), Error>, expected: bool) {
    assert_eq!(taken.is_ok(), expected, "{name:?}");
    match taken {
        Ok((shown, same)) => assert!(same && shown == name),
        Err(error) => {
            assert!(matches!(error, Error::InvalidInput { .. }));
            // One is short enough to be a word of ours.
            assert!(name.len() < 24 || !error.to_string().contains(name));
        }
    }
}

/// The slot is that of the specification, in other words: bit by bit.
pub(crate) fn slots(key: &str) {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tag.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    assert_eq!(slot(key.as_bytes()), crc % 16384);
}

/// What stands beside a key is in its slot, and tells which key that is. So no two keys share one.
pub(crate) fn companions(prefix: &str, key: &str) {
    if check_prefix(prefix).is_err() || check_key(key).is_err() {
        return;
    }
    let key_in_full = format!("{prefix}{key}");
    for name in ["fence", "queue"] {
        let beside = format!("{prefix}{}", companion(prefix, key, name));
        assert_eq!(slot(beside.as_bytes()), slot(key_in_full.as_bytes()), "{beside}");
        assert_eq!(beside_which(&beside, name), Some(key_in_full.clone()), "{beside}");
        assert!(beside.len() <= 2 * key_in_full.len() + 16, "{beside}");
    }
}

/// The key, by the full name of what stands beside it alone.
fn beside_which(beside: &str, name: &str) -> Option<String> {
    let rest = beside.strip_suffix(name)?;
    if let Some(key) = rest.strip_suffix("::") {
        return Some(key.to_owned());
    }
    let (prefix, rest) = rest.strip_suffix("}:")?.split_once('{')?;
    Some(match rest.split_once("}:") {
        Some((_number, key)) => format!("{prefix}{key}"),
        None => rest.to_owned(),
    })
}

/// No two things have one key, and with tags a user's are in one slot.
pub(crate) fn patterns(prefix: &str, one: &str, other: &str) {
    let prefix = if check_prefix(prefix).is_ok() { prefix } else { "" };
    for layout in [Layout::Plain, Layout::HashTagged] {
        let keys = Keys::new(layout);
        let mut things = BTreeMap::from([(keys.cleanup_lock().to_owned(), ("lock", "", ""))]);
        let mut add = |key: String, thing| {
            assert_eq!(*things.entry(key.clone()).or_insert(thing), thing, "{key:?}");
        };
        let names = [one, other];
        for hash in names {
            if let Ok(hash_of) = TokenHash::new(hash) {
                add(keys.refresh_token(&hash_of), ("token", hash, ""));
            }
        }
        for (user, session) in names.into_iter().flat_map(|user| names.map(|name| (user, name))) {
            let Ok(user_id) = UserId::new(user) else { continue };
            let mut theirs = vec![
                (keys.user(&user_id), ("user", user, "")),
                (keys.sessions_active(&user_id), ("active", user, "")),
                (keys.user_state(&user_id), ("state", user, "")),
            ];
            if let Ok(session_id) = SessionId::new(session) {
                // Without a tag a session alone names them.
                let user = if layout == Layout::Plain { "" } else { user };
                theirs.push((keys.session_active(&user_id, &session_id), ("flag", user, session)));
                theirs.push((keys.heartbeat(&user_id, &session_id), ("beat", user, session)));
            }
            let slots = theirs.iter().map(|(key, _)| slot(format!("{prefix}{key}").as_bytes()));
            let slots: Vec<_> = slots.collect();
            let one_slot = slots.iter().all(|&slot| slot == slots[0]);
            assert!(layout == Layout::Plain || one_slot, "{user:?} {session:?}");
            theirs.into_iter().for_each(|(key, thing)| add(key, thing));
        }
    }
}
