//! Atomic operations on Redis and Valkey.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]

pub mod adapter;
pub mod cache;
mod connection;
mod error;
pub mod key;
pub mod lock;
pub mod script;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use adapter::{CacheAdapter, RedisCacheAdapter};
pub use cache::Cache;
pub use connection::{Redis, RedisBuilder};
pub use error::{Error, Result, ServerError, ServerErrorKind};
pub use lock::Locks;
/// The `redis` crate, for the connections and the values that this crate takes.
pub use redis;
pub use script::{Script, ScriptLibrary};

/// What [`scripts!`] expands to.
#[doc(hidden)]
pub mod __private {
    pub use include_dir;
}
