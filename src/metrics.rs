//! The names of what is counted and measured, by the feature `metrics`, through the facade of
//! [that name](::metrics): whatever [recorder](::metrics::set_global_recorder) the program has installed gets
//! it. Install it before the first handle is made, or a circuit that is closed is not seen until it changes.
//!
//! | constant | name | kind | labels |
//! |---|---|---|---|
//! | [`CALLS`] | `auth_adapter_redis_calls_total` | counter | `operation`, `outcome` |
//! | [`CALL_SECONDS`] | `auth_adapter_redis_call_seconds` | histogram | `operation` |
//! | [`SCRIPT_LOADS`] | `auth_adapter_redis_script_loads_total` | counter | `operation` |
//! | [`READS`] | `auth_adapter_redis_reads_total` | counter | `outcome` |
//! | [`SWALLOWED`] | `auth_adapter_redis_swallowed_total` | counter | `operation` |
//! | [`REJECTED`] | `auth_adapter_redis_rejected_total` | counter | `operation` |
//! | [`DELETES_PENDING`] | `auth_adapter_redis_deletes_pending` | gauge | |
//! | [`CIRCUIT_STATE`] | `auth_adapter_redis_circuit_state` | gauge | `node` |
//! | [`CIRCUIT_CHANGES`] | `auth_adapter_redis_circuit_changes_total` | counter | `node`, `state` |
//! | [`LOCK_WAIT_SECONDS`] | `auth_adapter_redis_lock_wait_seconds` | histogram | `outcome` |
//! | [`LOCK_HOLD_SECONDS`] | `auth_adapter_redis_lock_hold_seconds` | histogram | `end` |
//! | [`LOCK_RENEWALS`] | `auth_adapter_redis_lock_renewals_total` | counter | `outcome` |
//! | [`LOCK_RENEWAL_SLACK_SECONDS`] | `auth_adapter_redis_lock_renewal_slack_seconds` | histogram | |
//! | [`LOCKS_LOST`] | `auth_adapter_redis_locks_lost_total` | counter | |
//!
//! All times are in seconds. A gauge speaks of all handles and adapters of the process.
//!
//! # Labels
//!
//! No key, prefix, token, id or owner is in a label, and each has few values:
//!
//! - `operation`: the script, as in `lock/acquire`, also of a library of yours; or the command, as `GET`. Of
//!   [`SWALLOWED`] and [`REJECTED`] it is the operation of the adapter, as `delete_many`, and of what
//!   [`FallbackRateLimiter`](crate::FallbackRateLimiter) decided by itself `rate/check` or `rate/check_many`.
//! - `outcome` of a call:
//!
//!   | | |
//!   |---|---|
//!   | `ok` | it was answered; also with a refusal, as that another has the lock |
//!   | `refused` | the server answered with an error |
//!   | `unavailable` | nothing was sent: the node is away |
//!   | `unanswered` | it was sent and not answered in time: it may have been executed |
//!   | `rejected` | the call or its reply was not fit: keys in several slots, a reply of another shape |
//!   | `cancelled` | it was dropped before it had ended |
//!
//!   Bad input that is refused where it comes in is no call yet.
//! - `node`: where the node is, without credentials.

use metrics::Unit;

/// Calls by operation and outcome. A call is one however often it had to be sent.
pub const CALLS: &str = "auth_adapter_redis_calls_total";

/// How long calls took, by operation: whatever they came to, with all waits of theirs.
pub const CALL_SECONDS: &str = "auth_adapter_redis_call_seconds";

/// Scripts that were sent to a server that had lost them, or never had them.
pub const SCRIPT_LOADS: &str = "auth_adapter_redis_script_loads_total";

/// Reads of the cache by outcome, through [`Cache`](crate::Cache) and through the adapter: `hit`, `miss`,
/// `degraded` (Redis could not say, or what it would have said is still to be deleted), `rejected` (bad input,
/// a key of another type) or `cancelled`.
pub const READS: &str = "auth_adapter_redis_reads_total";

/// Calls of the adapter that were answered by their fallback, as in
/// [`Health::swallowed`](crate::adapter::Health::swallowed).
pub const SWALLOWED: &str = "auth_adapter_redis_swallowed_total";

/// Calls of the adapter that were at fault themselves, as in
/// [`Health::rejected`](crate::adapter::Health::rejected).
pub const REJECTED: &str = "auth_adapter_redis_rejected_total";

/// Keys that are still to be deleted, and patterns of those that were too many to remember.
pub const DELETES_PENDING: &str = "auth_adapter_redis_deletes_pending";

/// The circuit of each node: 0 closed, 1 half open, 2 open. Where several handles speak to a node it is the
/// worst of theirs.
pub const CIRCUIT_STATE: &str = "auth_adapter_redis_circuit_state";

/// Changes of circuits by node and by the state that they came to: `closed`, `half_open`, `open`.
pub const CIRCUIT_CHANGES: &str = "auth_adapter_redis_circuit_changes_total";

/// How long [`Locks::acquire`](crate::Locks::acquire) took, by outcome: `acquired`, `held` (another had it to
/// the last), or what else a call can come to.
pub const LOCK_WAIT_SECONDS: &str = "auth_adapter_redis_lock_wait_seconds";

/// How long guards had their locks, by how that ended: `released` or `lost`.
pub const LOCK_HOLD_SECONDS: &str = "auth_adapter_redis_lock_hold_seconds";

/// Renewals in the background by outcome: `renewed`, `lost` (the lock was gone), or what else a call can come
/// to. Also the first, by which a lock that was handed over is taken up.
pub const LOCK_RENEWALS: &str = "auth_adapter_redis_lock_renewals_total";

/// How much of a lease was left when its renewal was answered. Near zero locks are about to be lost.
pub const LOCK_RENEWAL_SLACK_SECONDS: &str = "auth_adapter_redis_lock_renewal_slack_seconds";

/// Locks that were lost while a guard had them, as far as it was asked or awaited or has ended since.
pub const LOCKS_LOST: &str = "auth_adapter_redis_locks_lost_total";

/// Tells the installed recorder what each of them is, which Prometheus shows as `# HELP`. Once, after it is
/// installed.
///
/// ```
/// use auth_adapter_redis::metrics;
///
/// let prometheus = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
/// metrics::describe();
/// // … what serves `/metrics` answers with this:
/// let text = prometheus.render();
/// # assert_eq!(text, "", "nothing was counted yet");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn describe() {
    for (name, unit, what) in [
        (CALLS, Unit::Count, "Calls by operation and outcome"),
        (SCRIPT_LOADS, Unit::Count, "Scripts sent to a server that did not have them"),
        (READS, Unit::Count, "Reads of the cache by outcome"),
        (
            SWALLOWED,
            Unit::Count,
            "Calls of the adapter or of a rate limit answered by their fallback",
        ),
        (REJECTED, Unit::Count, "Calls of the adapter that were at fault themselves"),
        (CIRCUIT_CHANGES, Unit::Count, "Changes of the circuit of a node by the new state"),
        (LOCK_RENEWALS, Unit::Count, "Renewals of locks by outcome"),
        (LOCKS_LOST, Unit::Count, "Locks lost while a guard had them"),
    ] {
        metrics::describe_counter!(name, unit, what);
    }
    for (name, unit, what) in [
        (DELETES_PENDING, Unit::Count, "Keys and patterns of keys that are still to be deleted"),
        (CIRCUIT_STATE, Unit::Count, "Circuit of a node: 0 closed, 1 half open, 2 open"),
    ] {
        metrics::describe_gauge!(name, unit, what);
    }
    for (name, unit, what) in [
        (CALL_SECONDS, Unit::Seconds, "How long calls took"),
        (LOCK_WAIT_SECONDS, Unit::Seconds, "How long taking a lock took, by outcome"),
        (LOCK_HOLD_SECONDS, Unit::Seconds, "How long guards had their locks, by how it ended"),
        (LOCK_RENEWAL_SLACK_SECONDS, Unit::Seconds, "Lease left when its renewal was answered"),
    ] {
        metrics::describe_histogram!(name, unit, what);
    }
}
