//! What is counted, measured and traced, exactly, and that nothing of it holds what a caller passes:
//! `cargo test --features metrics,spans --test metrics`.
#![cfg(all(feature = "metrics", feature = "spans"))]

#[path = "../support/mod.rs"]
mod support;

mod adapter;
mod calls;
mod circuit;
mod every_operation;
mod example;
mod locks;
mod names;
mod seen;
mod spans;

use std::time::Duration;

use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{Redis, RedisBuilder};
use seen::{PRIVATE, watch};
use support::{HANG, LONG, SHORT, quick, until};

/// A handle with a prefix that is to be seen nowhere.
fn private(url: String) -> RedisBuilder {
    quick(url).prefix(format!("{PRIVATE}:")).call_deadline(Duration::from_secs(10))
}

async fn connected(builder: RedisBuilder) -> Redis {
    let redis = builder.build().unwrap();
    redis.connected().await;
    redis
}

async fn on(server: &Server) -> Redis {
    connected(private(server.url())).await
}
