//! Replies.

use redis::Value;

use super::super::reply::{FromReply, decode};
use crate::error::Error;

/// All words that an error about a reply has, whatever the reply was.
const WORDS: &str = "\
    a after an and another anything array at begins call does each else empty expected fence from gave \
    header id in int is its lock nil none not number of OK one open or outcome packed refresh reply \
    response RESP3 rotate script sealed session shape something string that this time token type UTF \
    version was with word for";

/// Nothing is coerced, and what is refused is told by its shape.
pub(crate) fn reply(value: &Value) {
    let int = read::<i64>(value);
    assert_eq!(int.is_some(), matches!(value, Value::Int(_)));
    let bytes = read::<Vec<u8>>(value);
    let is_text = matches!(value, Value::BulkString(_) | Value::SimpleString(_));
    assert_eq!(bytes.is_some(), is_text);
    let text = read::<String>(value).map(String::into_bytes);
    assert_eq!(text, bytes.filter(|bytes| std::str::from_utf8(bytes).is_ok()));
    let optional = read::<Option<i64>>(value);
    assert_eq!(optional, if *value == Value::Nil { Some(None) } else { int.map(Some) });

    let items = match value {
        Value::Array(items) => &items[..],
        _ => &[],
    };
    let ints: Option<Vec<i64>> = items.iter().map(read).collect();
    let is_array = matches!(value, Value::Array(_));
    assert_eq!(read::<Vec<i64>>(value), ints.clone().filter(|_| is_array));
    let [one, two, three, four] = [0, 1, 2, 3].map(|at| items.get(at).and_then(read::<i64>));
    let is_of = |many: usize| items.len() == many;
    assert_eq!(read::<(i64, i64)>(value), one.zip(two).filter(|_| is_of(2)));
    let triple = one.zip(two).zip(three).map(|((a, b), c)| (a, b, c));
    assert_eq!(read::<(i64, i64, i64)>(value), triple.filter(|_| is_of(3)));
    let four = triple.zip(four).map(|((a, b, c), d)| (a, b, c, d));
    assert_eq!(read::<(i64, i64, i64, i64)>(value), four.filter(|_| is_of(4)));
    // As `SCAN` gives it.
    read::<(String, Vec<Vec<u8>>)>(value);
    assert_eq!(read::<Value>(value).as_ref(), Some(value));
}

/// The value as `T`, if it is one.
pub(crate) fn read<T: FromReply>(value: &Value) -> Option<T> {
    decode("call", value.clone()).map_err(|error| tells_shapes_alone(&error, value)).ok()
}

/// The error is about the reply, and has nothing of what the reply says.
pub(crate) fn tells_shapes_alone(error: &Error, reply: &Value) {
    assert!(matches!(error, Error::Reply { .. }), "{error:?}");
    let text = error.to_string();
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    for word in words.filter(|word| !word.is_empty()) {
        // UTF-8 has one in its name.
        let counted = || word.parse().is_ok_and(|number: usize| number <= count(reply).max(8));
        let known = WORDS.split_whitespace().any(|known| known == word);
        assert!(known || counted(), "{word:?} in {text:?}");
    }
}

/// How many values there are in it.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) | Value::Set(items) => 1 + items.iter().map(count).sum::<usize>(),
        _ => 1,
    }
}
