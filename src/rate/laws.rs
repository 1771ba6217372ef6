//! What holds for every reply of a rate limit.

use redis::Value;

use super::{Quota, level};
use crate::script::laws::read;

const QUOTA: Quota = Quota::per_minute(5);

/// No number makes a bucket hold more than its burst.
pub(crate) fn reply(value: &Value) {
    let told: Vec<i64> = read(value).unwrap_or_default();
    let terms = QUOTA.terms().unwrap();
    for refill in told.into_iter().chain(read(value)) {
        assert!(level(&terms, refill.unsigned_abs()).remaining <= 5);
    }
}
