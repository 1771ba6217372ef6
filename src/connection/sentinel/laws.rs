//! What holds for whatever a Sentinel says.

use redis::Value;

use super::field;

/// A field is found in a list of names and values as in a map of them.
pub(in crate::connection) fn fields(reply: &Value) {
    let Value::Array(words) = reply else {
        return assert!(matches!(reply, Value::Map(_)) || field(reply, "config-epoch").is_none());
    };
    let pairs = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    assert_eq!(field(reply, "config-epoch"), field(&Value::Map(pairs), "config-epoch"));
}
