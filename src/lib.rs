#![doc = include_str!("../README.md")]
//!
//! ## Map of the crate
//!
//! Arrows point one way: what stands lower knows nothing of what stands above it.
//!
//! ```text
//! lib                          what is public
//!  └─ adapter, guard, limiter  policy: what happens when Redis is away, or a holder
//!      └─ releases             locks that are freed in the background
//!          └─ cache, lock, fence, rate, session, refresh
//!                              the nouns: bind, call, decode; none knows another
//!              ├─ scan         walking over keys
//!              └─ script       contracts, EVALSHA, the way back from NOSCRIPT
//!                  └─ connection
//!                              the handle, its deadlines and its reconnect loop
//!                      └─ key  patterns, TTLs, layouts, slots, checks of input
//!                          └─ observe, error, clock
//!                              what is watched: metrics and spans
//! ```
//!
//! - [`adapter`]: [`CacheAdapter`], the seven operations that never fail, and [`RedisCacheAdapter`].
//! - [`cache`] and [`lock`]: [`Cache`] and [`Leases`](lock::Leases), the same with every error told. A file
//!   `src/noun.rs` wraps the scripts of `scripts/noun/`.
//! - [`fence`]: [`FencedStrings`], which refuse the writes of a holder whose lock has gone on.
//! - [`guard`]: [`Locks`] and [`LockGuard`], which knows its deadline, renews itself if told to, and
//!   releases itself.
//! - [`rate`]: [`RateLimiter`], limits that all instances share.
//! - [`limiter`]: [`FallbackRateLimiter`], the same, and this process's share while Redis is away.
//! - [`session`]: [`Sessions`], who is logged in, where what was revoked stays revoked.
//! - [`refresh`]: [`RefreshTokens`], the rotation of [`RefreshToken`]s.
//! - [`script`]: [`Script`], [`ScriptLibrary`] and [`scripts!`], for this crate's scripts and yours.
//! - [`Redis`] and [`RedisBuilder`]: one handle over a server, or over a connection of yours.
//! - [`circuit`]: whether calls go to a node, or fail at once.
//! - [`key`]: how keys are spelt, and what may become one.
//! - [`Error`]: one for the crate; a refusal is a value and never one. [`ExposedError`]: the same with what
//!   is exposed, where something was not revoked, rotated or reset.
//! - `metrics`, with the feature of that name: what is counted and measured, by its names.
//! - `testing`, with the feature of that name: real servers for anyone's tests. It stands beside the
//!   others and uses none of them.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]

pub mod adapter;
pub mod cache;
/// Whether calls go to a node, or fail at once: see [`Redis::circuits`].
pub mod circuit {
    pub use crate::connection::{Circuit, CircuitState, Circuits};
}
mod clock;
mod connection;
mod error;
pub mod fence;
#[cfg(test)]
mod fuzz;
pub mod guard;
pub mod key;
pub mod limiter;
pub mod lock;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
mod observe;
mod random;
pub mod rate;
pub mod refresh;
mod releases;
mod scan;
pub mod script;
pub mod session;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use adapter::{CacheAdapter, RedisCacheAdapter};
pub use cache::Cache;
pub use connection::{Redis, RedisBuilder};
pub use error::{Error, ExposedError, Result, ServerError, ServerErrorKind, SlotFailure};
pub use fence::FencedStrings;
pub use guard::{LockGuard, Locks};
pub use key::Fence;
pub use limiter::FallbackRateLimiter;
pub use rate::RateLimiter;
/// The `redis` crate, for the connections and the values that this crate takes.
pub use redis;
pub use refresh::{RefreshToken, RefreshTokens};
pub use script::{Script, ScriptLibrary};
pub use session::Sessions;

/// What [`scripts!`] expands to.
#[doc(hidden)]
pub mod __private {
    pub use include_dir;
}
