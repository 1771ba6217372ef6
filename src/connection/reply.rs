//! What the redis crate gave, as this crate says it.

use redis::{ErrorKind, RedisError, RedisResult, Value};

use super::deadline::Deadline;
use crate::error::{Error, Result, classify, in_one_line};

/// An error reply is an `Err`.
pub(super) fn decode(reply: RedisResult<Value>, deadline: Deadline) -> Result<Value> {
    match reply {
        Ok(Value::ServerError(error)) => {
            Err(classify(error.code(), error.details().unwrap_or_default()).into())
        }
        Ok(value) => Ok(value),
        Err(error) => Err(explain(&error, deadline)),
    }
}

fn explain(error: &RedisError, deadline: Deadline) -> Error {
    if let Some(code) = error.code() {
        return classify(code, error.detail().unwrap_or_default()).into();
    }
    let never_sent = matches!(
        error.kind(),
        ErrorKind::ClusterConnectionNotFound | ErrorKind::Client | ErrorKind::AuthenticationFailed
    ) || error.is_connection_refusal();
    match never_sent {
        true => Error::Unavailable(in_one_line(error)),
        false => deadline.unanswered(in_one_line(error)),
    }
}
