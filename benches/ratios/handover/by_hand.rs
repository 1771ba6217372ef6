//! How programs without this crate wait for a lock.

use std::sync::LazyLock;
use std::time::Duration;

use auth_adapter_redis::redis::aio::MultiplexedConnection;
use auth_adapter_redis::redis::{AsyncConnectionConfig, PushInfo, PushKind, Script, Value, cmd};
use auth_adapter_redis::testing::Server;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::race::{Contender, KEY, LEASE};
use crate::support::{Holder, connect, connect_with, send};

const CHANNEL: &str = "bench:contended:released";
const POLL: Duration = Duration::from_millis(10);

static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new("return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])")
});
static RELEASE_AND_TELL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        redis.call('PUBLISH', ARGV[2], '')
        return redis.call('DEL', KEYS[1])",
    )
});

/// Tries every 10 ms.
pub struct Poll(MultiplexedConnection);

/// A release is published, and everyone who hears of it tries.
///
/// One connection for both, with RESP3: whoever has to subscribe on another does not wait less.
pub struct PubSub {
    connection: MultiplexedConnection,
    heard: UnboundedReceiver<PushInfo>,
}

impl Contender for Poll {
    type Held = String;

    async fn connect(server: &Server) -> Self {
        Self(connect(server).await)
    }

    async fn acquire(&mut self) -> String {
        loop {
            if let Some(holder) = set_nx(&mut self.0).await {
                return holder;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn release(&mut self, holder: String) {
        let freed = RELEASE.key(KEY).arg(holder).invoke_async(&mut self.0).await;
        assert_eq!(freed, Ok(1));
    }

    fn is_try(words: &[&str]) -> bool {
        words[0] == "SET"
    }
}

impl Contender for PubSub {
    type Held = String;

    async fn connect(server: &Server) -> Self {
        let (tell, heard) = unbounded_channel();
        let config = AsyncConnectionConfig::new().set_push_sender(tell);
        let url = format!("{}/?protocol=resp3", server.url());
        let mut connection = connect_with(&url, config).await;
        connection.subscribe(CHANNEL).await.unwrap();
        Self { connection, heard }
    }

    async fn acquire(&mut self) -> String {
        loop {
            // What is published after this try was sent is heard after it.
            while self.heard.try_recv().is_ok() {}
            if let Some(holder) = set_nx(&mut self.connection).await {
                return holder;
            }
            while self.heard.recv().await.unwrap().kind != PushKind::Message {}
        }
    }

    async fn release(&mut self, holder: String) {
        let mut release = RELEASE_AND_TELL.key(KEY);
        release.arg(holder).arg(CHANNEL);
        assert_eq!(release.invoke_async(&mut self.connection).await, Ok(1));
    }

    fn is_try(words: &[&str]) -> bool {
        words[0] == "SET"
    }
}

async fn set_nx(connection: &mut MultiplexedConnection) -> Option<String> {
    let holder = Holder::random("bench-owner").text();
    let mut set = cmd("SET");
    set.arg(KEY).arg(&holder).arg("NX").arg("PX").arg(LEASE.as_millis() as u64);
    match send(connection, &set).await {
        Value::Okay => Some(holder),
        Value::Nil => None,
        other => panic!("{other:?}"),
    }
}
