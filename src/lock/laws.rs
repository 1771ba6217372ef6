//! What holds for whatever stands at a lock, and for every word about one.

use std::sync::LazyLock;

use redis::{ToRedisArgs, Value};

use super::outcome::LockInfo;
use super::place::Granted;
use super::token::{Holder, LockToken, owner};
use crate::script::laws::read;

static TOKEN: LazyLock<LockToken> = LazyLock::new(|| LockToken::new().unwrap());

/// A hold has the owner and the fence that stand in it.
pub(crate) fn reply(value: &Value) {
    let Some((lock, ms, counter, waiters)) = read::<(Vec<u8>, i64, Vec<u8>, i64)>(value) else {
        return;
    };
    let info = LockInfo::new((lock.clone(), ms, counter.clone(), waiters));
    assert_eq!(info.owner, owner(&lock));
    assert_eq!(info.left.is_none(), ms < 0);
    if let Some(fence) = info.fence {
        let (number, whose) = counter.split_at(counter.len() - lock.len());
        assert_eq!(whose, lock);
        let number = std::str::from_utf8(number).unwrap().strip_suffix(':').unwrap();
        assert_eq!(number.parse(), Ok(fence.as_u64()));
    }
    let minted = [b"7:", &lock[..]].concat();
    let info = LockInfo::new((lock.clone(), ms, minted, waiters));
    assert_eq!(info.fence.map(|fence| fence.as_u64()), Some(7));
    let secret = lock.first_chunk::<32>().map(|hex| String::from_utf8_lossy(hex).into_owned());
    if let (Some(secret), Some(owner)) = (secret, &info.owner) {
        assert!(owner.contains(&secret) || !format!("{info:?}").contains(&secret));
    }
}

/// A grant is read as it is printed, and is to one token.
pub(crate) fn grant(message: &[u8]) {
    let Some(granted) = Granted::read(message) else { return };
    let fence = granted.fence.map_or(0, |fence| fence.as_u64());
    assert!(i64::try_from(granted.at).is_ok());
    let token = message.splitn(3, |&byte| byte == b':').nth(2).unwrap();
    assert_eq!(granted.is_to(&TOKEN), token.starts_with(&TOKEN.hex()));
    let printed = [format!("{}:{fence}:", granted.at).as_bytes(), token].concat();
    assert_eq!(Granted::read(&printed), Some(granted));
}

/// An owner's name is read from what its locks are, and from nothing else.
pub(crate) fn holder(bytes: &[u8]) {
    if let Some(owner) = owner(bytes) {
        let (token, name) = bytes.split_at(33);
        assert_eq!(String::from_utf8_lossy(name), owner);
        assert!(token[..32].iter().all(|digit| b"0123456789abcdef".contains(digit)));
        assert_eq!(token[32], b':');
    }
    let name = String::from_utf8_lossy(bytes);
    let lock = Holder::new(&TOKEN, &name).to_redis_args().concat();
    assert_eq!(owner(&lock).as_deref(), Some(&*name));
}
