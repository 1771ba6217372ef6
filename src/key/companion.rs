//! Keys that stand beside another.

use super::slot::{has_tag, slot};

/// The key `name` beside `key`, in its slot: `{key}:name`. A key with a hash tag keeps it; else all of
/// the key becomes one, with the handle's prefix, which a cluster counts in.
///
/// A key that has a closing brace and no tag cannot become one: beside it stands the first number in its
/// slot, in braces.
pub(crate) fn companion(prefix: &str, key: &str, name: &str) -> String {
    if has_tag(key.as_bytes()) {
        return [key, ":", name].concat();
    }
    if !key.contains('}') {
        return ["{", prefix, key, "}:", name].concat();
    }
    let its = slot(format!("{prefix}{key}").as_bytes());
    let in_it = |number: &u32| slot(number.to_string().as_bytes()) == its;
    let number = (0..).find(in_it).unwrap_or_default();
    format!("{{{number}}}:{key}:{name}")
}

#[cfg(test)]
mod tests {
    use super::super::slot;
    use super::*;

    #[test]
    fn it_is_in_the_slot_of_its_key() {
        for prefix in ["", "myapp:"] {
            for key in [
                "lock",
                "{42}:lock",
                "a:{b}",
                "{lock",
                "日本語",
                "{a}{b}",
                "a}b",
                "}",
                "{}",
                "{}{a}",
            ] {
                let beside = companion(prefix, key, "fence");
                let full = |key: &str| slot(format!("{prefix}{key}").as_bytes());
                assert_eq!(full(&beside), full(key), "{prefix}{key}: {beside}");
            }
        }
    }

    #[test]
    fn a_key_with_a_tag_of_its_own_keeps_it() {
        assert_eq!(companion("p:", "{42}:lock", "fence"), "{42}:lock:fence");
        assert_eq!(companion("p:", "lock", "fence"), "{p:lock}:fence");
        assert_eq!(companion("", "lock", "fence"), "{lock}:fence");
    }
}
