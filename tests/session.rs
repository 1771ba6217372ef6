//! Sessions on a real server: a file for the outcomes of each operation, and some for what must hold
//! whatever comes between.

#[path = "session/atomic.rs"]
mod atomic;
#[path = "session/check.rs"]
mod check;
#[path = "session/confirm.rs"]
mod confirm;
#[path = "session/create.rs"]
mod create;
#[path = "session/crowd.rs"]
mod crowd;
#[path = "session/exposure.rs"]
mod exposure;
#[path = "session/fill.rs"]
mod fill;
#[path = "session/format.rs"]
mod format;
#[path = "session/input.rs"]
mod input;
#[path = "session/lapse.rs"]
mod lapse;
#[path = "session/list.rs"]
mod list;
#[path = "session/repeat.rs"]
mod repeat;
#[path = "session/revoke.rs"]
mod revoke;
#[path = "session/revoke_all.rs"]
mod revoke_all;
#[path = "session/revoke_others.rs"]
mod revoke_others;
#[path = "session/revoked.rs"]
mod revoked;
#[path = "session/store.rs"]
mod store;
mod support;
#[path = "session/touch.rs"]
mod touch;

use std::time::Duration;

use auth_adapter_redis::key::{SessionId, Timestamp};
use auth_adapter_redis::session::{
    Authority, Check, Confirm, Create, Fill, List, Row, Session, Touch, Version,
};
use auth_adapter_redis::{Error, ExposedError, Redis, ServerErrorKind, Sessions};
use store::{HOUR, Store, id, ids, is_tombstone, row, row_of, user};
use support::target::own;
use support::{assert_server, exposed, full_server, raw, redis_on};

/// The error of a revoke, which says how long Redis can be wrong of the sessions alone.
fn not_revoked<T>(outcome: Result<T, ExposedError>) -> Result<T, Error> {
    not_revoked_for(Duration::from_secs(300), outcome)
}

fn not_revoked_for<T>(stale_for: Duration, outcome: Result<T, ExposedError>) -> Result<T, Error> {
    exposed(outcome, "sessions were not revoked and may read active", stale_for)
}

/// What a full server answers to those that know nothing of a user yet.
async fn full() -> (support::target::Own, Store) {
    let server = full_server();
    let redis = redis_on(&server).await;
    (server, Store::on(redis))
}
