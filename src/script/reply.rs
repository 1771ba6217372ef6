//! Replies, decoded strictly: another shape is an error that says so, never a guess.

use redis::Value;

use crate::error::{Error, Result};

/// What a reply can be turned into. Nothing is coerced: an `int` is no `string`.
pub trait FromReply: Sized {
    /// The shape, in words.
    fn shape() -> String;

    /// Takes the value, or gives it back where it has another shape.
    ///
    /// # Errors
    ///
    /// The value itself.
    fn from_reply(value: Value) -> Result<Self, Value>;
}

impl FromReply for i64 {
    fn shape() -> String {
        "int".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
        match value {
            Value::Int(int) => Ok(int),
            other => Err(other),
        }
    }
}

impl FromReply for Vec<u8> {
    fn shape() -> String {
        "string".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
        match value {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            other => Err(other),
        }
    }
}

impl FromReply for String {
    fn shape() -> String {
        "UTF-8 string".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
        let bytes = Vec::from_reply(value)?;
        Self::from_utf8(bytes).map_err(|error| Value::BulkString(error.into_bytes()))
    }
}

impl<T: FromReply> FromReply for Option<T> {
    fn shape() -> String {
        format!("{} or nil", T::shape())
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
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

    fn from_reply(value: Value) -> Result<Self, Value> {
        match value {
            Value::Array(items) => items.into_iter().map(T::from_reply).collect(),
            other => Err(other),
        }
    }
}

impl<A: FromReply, B: FromReply> FromReply for (A, B) {
    fn shape() -> String {
        format!("array [{}, {}]", A::shape(), B::shape())
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
        let [a, b] = fixed(value)?;
        Ok((A::from_reply(a)?, B::from_reply(b)?))
    }
}

impl<A: FromReply, B: FromReply, C: FromReply> FromReply for (A, B, C) {
    fn shape() -> String {
        format!("array [{}, {}, {}]", A::shape(), B::shape(), C::shape())
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
        let [a, b, c] = fixed(value)?;
        Ok((A::from_reply(a)?, B::from_reply(b)?, C::from_reply(c)?))
    }
}

/// The raw value, for a shape that has no type here.
impl FromReply for Value {
    fn shape() -> String {
        "anything".to_owned()
    }

    fn from_reply(value: Value) -> Result<Self, Value> {
        Ok(value)
    }
}

fn fixed<const N: usize>(value: Value) -> Result<[Value; N], Value> {
    match value {
        Value::Array(items) => items.try_into().map_err(Value::Array),
        other => Err(other),
    }
}

/// Decodes the reply of `call`. The error names the shapes and never the content.
pub(crate) fn decode<T: FromReply>(call: &str, value: Value) -> Result<T> {
    T::from_reply(value).map_err(|value| Error::Reply {
        call: call.to_owned(),
        expected: T::shape(),
        got: shape_of(&value),
    })
}

fn shape_of(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(_) => "int".to_owned(),
        Value::BulkString(bytes) if std::str::from_utf8(bytes).is_err() => {
            "string that is not UTF-8".to_owned()
        }
        Value::BulkString(_) | Value::SimpleString(_) | Value::VerbatimString { .. } => {
            "string".to_owned()
        }
        Value::Okay => "OK".to_owned(),
        Value::Array(items) => format!("array of {}", items.len()),
        _ => "another RESP3 type".to_owned(),
    }
}
