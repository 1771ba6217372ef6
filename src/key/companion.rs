//! Keys that stand beside another.

use super::slot::{has_tag, slot};

/// The key `name` beside `key`, in its slot: `{key}:name`, where all of the key becomes a hash tag, with the
/// handle's prefix, which a cluster counts in. A key with a tag keeps it, with one more colon: `key::name`.
///
/// A key that has a closing brace and no tag cannot become one: before it stands the first number in its
/// slot, as a tag, and after it one more brace. So no two keys have one of these in common.
pub(crate) fn companion(prefix: &str, key: &str, name: &str) -> String {
    if has_tag(key.as_bytes()) {
        return [key, "::", name].concat();
    }
    if !key.contains('}') {
        return ["{", prefix, key, "}:", name].concat();
    }
    let its = slot(format!("{prefix}{key}").as_bytes());
    let in_it = |number: &u32| slot(number.to_string().as_bytes()) == its;
    let number = (0..).find(in_it).unwrap_or_default();
    format!("{{{number}}}:{key}}}:{name}")
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
    fn no_two_keys_have_one_in_common() {
        let key = "a}b";
        let odd = companion("", key, "fence");
        let number = odd.split(':').next().unwrap();
        let others = ["a", "{a}", "{a}:", "{p:a}", "p:{p:a}", key, "a}", "a}:", "}", "{}"];
        let others = others.map(str::to_owned).into_iter();
        let tagged = ["a}b", "a}b}", "a}:", "a}::"].map(|rest| format!("{number}:{rest}"));
        let mut seen = std::collections::BTreeMap::new();
        for prefix in ["", "p:"] {
            for key in others.clone().chain(tagged.clone()) {
                let beside = format!("{prefix}{}", companion(prefix, &key, "fence"));
                let full = format!("{prefix}{key}");
                if let Some(before) = seen.insert(beside.clone(), full.clone()) {
                    assert_eq!(before, full, "{beside}");
                }
            }
        }
    }

    #[test]
    fn a_key_with_a_tag_of_its_own_keeps_it() {
        assert_eq!(companion("p:", "{42}:lock", "fence"), "{42}:lock::fence");
        assert_eq!(companion("p:", "lock", "fence"), "{p:lock}:fence");
        assert_eq!(companion("", "lock", "fence"), "{lock}:fence");
    }
}
