//! Replies, decoded strictly: another shape is an error that says so, never a guess.

use redis::Value;

use crate::error::{Error, Result};

/// What a reply can be turned into. Nothing is coerced: an `int` is no `string`.
pub trait FromReply: Sized {
    /// The shape, in words.
    fn shape() -> String;

    /// Takes the value.
    ///
    /// # Errors
    ///
    /// The shape that it has instead, as [`shape_of`] words it.
    fn from_reply(value: Value) -> Result<Self, String>;
}

impl FromReply for i64 {
    fn shape() -> String {
        "int".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        match value {
            Value::Int(int) => Ok(int),
            other => Err(shape_of(&other)),
        }
    }
}

impl FromReply for Vec<u8> {
    fn shape() -> String {
        "string".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        match value {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            other => Err(shape_of(&other)),
        }
    }
}

impl FromReply for String {
    fn shape() -> String {
        "UTF-8 string".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        let bytes = Vec::from_reply(value)?;
        Self::from_utf8(bytes).map_err(|_| "string that is not UTF-8".to_owned())
    }
}

impl<T: FromReply> FromReply for Option<T> {
    fn shape() -> String {
        format!("{} or nil", T::shape())
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        match value {
            Value::Nil => Ok(None),
            value => T::from_reply(value).map(Some),
        }
    }
}

/// Any number of one thing. Bytes are a `string`, not an array.
impl<T: FromReply> FromReply for Vec<T> {
    fn shape() -> String {
        format!("array of {}", T::shape())
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => {
                items.into_iter().zip(1..).map(|(item, at)| part(item, at)).collect()
            }
            other => Err(shape_of(&other)),
        }
    }
}

impl<A: FromReply, B: FromReply> FromReply for (A, B) {
    fn shape() -> String {
        format!("array [{}, {}]", A::shape(), B::shape())
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        let [a, b] = fixed(value)?;
        Ok((part(a, 1)?, part(b, 2)?))
    }
}

impl<A: FromReply, B: FromReply, C: FromReply> FromReply for (A, B, C) {
    fn shape() -> String {
        format!("array [{}, {}, {}]", A::shape(), B::shape(), C::shape())
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        let [a, b, c] = fixed(value)?;
        Ok((part(a, 1)?, part(b, 2)?, part(c, 3)?))
    }
}

impl<A: FromReply, B: FromReply, C: FromReply, D: FromReply> FromReply for (A, B, C, D) {
    fn shape() -> String {
        format!("array [{}, {}, {}, {}]", A::shape(), B::shape(), C::shape(), D::shape())
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        let [a, b, c, d] = fixed(value)?;
        Ok((part(a, 1)?, part(b, 2)?, part(c, 3)?, part(d, 4)?))
    }
}

/// The raw value, for a shape that has no type here.
impl FromReply for Value {
    fn shape() -> String {
        "anything".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, String> {
        Ok(value)
    }
}

fn fixed<const N: usize>(value: Value) -> Result<[Value; N], String> {
    match value {
        Value::Array(items) => {
            items.try_into().map_err(|items: Vec<_>| format!("array of {}", items.len()))
        }
        other => Err(shape_of(&other)),
    }
}

/// One item of an array, the first at 1.
fn part<T: FromReply>(item: Value, at: usize) -> Result<T, String> {
    T::from_reply(item).map_err(|shape| format!("array with {shape} at {at}"))
}

/// Decodes the reply of `call`. The error names the shapes and never the content.
pub(crate) fn decode<T: FromReply>(call: &str, value: Value) -> Result<T> {
    T::from_reply(value).map_err(|got| Error::Reply {
        call: call.to_owned(),
        expected: T::shape(),
        got,
    })
}

/// The shape of a value in words, without its content.
pub fn shape_of(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(_) => "int".to_owned(),
        Value::BulkString(_) | Value::SimpleString(_) | Value::VerbatimString { .. } => {
            "string".to_owned()
        }
        Value::Okay => "OK".to_owned(),
        Value::Array(items) => format!("array of {}", items.len()),
        _ => "another RESP3 type".to_owned(),
    }
}
