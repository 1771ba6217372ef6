//! Atomic operations on Redis and Valkey.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs)]

#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

/// The `redis` crate, for the connections and the values that this crate takes.
pub use redis;
