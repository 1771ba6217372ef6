//! The reconnect loop: one task per handle that keeps one connection up.
//!
//! A connection is replaced when it is closed, or when a call on it had no reply in time and a
//! `PING` has none either. The new one first ends the old one on the server by its id, so that
//! bytes still on their way on the old one cannot execute after what follows on the new one.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use super::state::{Alarm, State};
use crate::error::in_one_line;

/// How many commands may wait for the socket; beyond that, callers wait for room.
const PIPELINE_BUFFER: usize = 1024;

/// Where and how to connect.
pub(super) struct Target {
    pub(super) client: redis::Client,
    pub(super) client_name: Option<String>,
    pub(super) connect_timeout: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) backoff: Backoff,
}

impl Target {
    /// The address, without credentials.
    pub(super) fn name(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }
}

/// How long to wait between failed attempts: doubling from `min` to `max`, each wait drawn between
/// half of that and all of it, so that many instances do not come back at the same moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    fn wait(&self, failures: u32) -> Duration {
        let full = self.min.saturating_mul(1 << failures.min(20)).min(self.max);
        let draw = getrandom::u32().unwrap_or(u32::MAX);
        full.mul_f64(0.5 + 0.5 * f64::from(draw) / f64::from(u32::MAX))
    }
}

/// Which connection of which server this is: ids begin anew when a server restarts.
#[derive(Clone, PartialEq, Eq)]
struct Identity {
    run_id: String,
    client_id: i64,
}

pub(super) struct Supervisor {
    target: Target,
    tell: watch::Sender<State>,
    alarm: Arc<Alarm>,
    /// The last connection that was in use, until it is known to have ended on the server.
    previous: Option<Identity>,
    eviction_checked: bool,
}

impl Supervisor {
    pub(super) fn new(target: Target, tell: watch::Sender<State>, alarm: Arc<Alarm>) -> Self {
        Self { target, tell, alarm, previous: None, eviction_checked: false }
    }

    pub(super) async fn run(mut self) {
        for id in 1.. {
            let (connection, identity) = self.connect(id).await;
            self.previous = identity;
            tracing::info!(target = self.target.name(), "connected to redis");
            let mut probe = connection.clone();
            self.tell.send_replace(State::Up(id, connection));
            self.until_dead(id, &mut probe).await;
            tracing::warn!(target = self.target.name(), "the connection to redis is lost");
            self.tell.send_replace(State::Connecting);
        }
    }

    /// Tries until there is a connection.
    async fn connect(&mut self, id: u64) -> (MultiplexedConnection, Option<Identity>) {
        for failures in 0.. {
            match timeout(self.target.connect_timeout, self.attempt(id)).await {
                Ok(Ok(connected)) => return connected,
                Ok(Err(why)) => self.failed(failures, &why),
                Err(_) => {
                    let limit = self.target.connect_timeout;
                    self.failed(failures, &format!("no connection within {limit:?}"));
                }
            }
            tokio::time::sleep(self.target.backoff.wait(failures)).await;
        }
        unreachable!("the attempts do not end")
    }

    fn failed(&self, failures: u32, why: &str) {
        if failures == 0 {
            tracing::warn!(target = self.target.name(), why, "cannot connect to redis");
        }
        self.tell.send_replace(State::Down(why.into()));
    }

    async fn attempt(
        &mut self,
        id: u64,
    ) -> Result<(MultiplexedConnection, Option<Identity>), String> {
        let connection = self
            .target
            .client
            .get_multiplexed_async_connection_with_config(&self.config(id))
            .await
            .map_err(|error| in_one_line(&error))?;
        let identity = self.introduce(&connection).await?;
        self.end_previous(&connection, identity.as_ref()).await?;
        if !self.eviction_checked {
            self.eviction_checked = true;
            warn_of_eviction(&connection).await;
        }
        Ok((connection, identity))
    }

    fn config(&self, id: u64) -> AsyncConnectionConfig {
        // The deadline of the whole call stands above: a second timer in each call buys nothing.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        let settings = self.target.client.get_connection_info().redis_settings();
        if settings.protocol() == ProtocolVersion::RESP2 {
            // No word of a closed connection until the next call meets it.
            return config;
        }
        let alarm = Arc::clone(&self.alarm);
        config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                alarm.lost(id);
            }
            Ok::<(), ()>(())
        })
    }

    /// Names the connection and asks who it is. A user that may not ask gets no identity.
    async fn introduce(
        &self,
        connection: &MultiplexedConnection,
    ) -> Result<Option<Identity>, String> {
        let name = async {
            match &self.target.client_name {
                Some(name) => ask(connection, &["CLIENT", "SETNAME", name]).await,
                None => Ok(Value::Okay),
            }
        };
        let (named, client_id, server) = tokio::join!(
            name,
            ask(connection, &["CLIENT", "ID"]),
            ask(connection, &["INFO", "server"])
        );
        if let Err(why) = named {
            tracing::warn!(why, "CLIENT SETNAME was refused");
        }
        match (client_id, server) {
            (Ok(Value::Int(client_id)), Ok(info)) => {
                Ok(field(&info, "run_id").map(|run_id| Identity { run_id, client_id }))
            }
            (Err(why), _) | (_, Err(why)) if !is_refusal(&why) => Err(why),
            _ => Ok(None),
        }
    }

    /// Ends the connection before this one on the server, unless that server has restarted since.
    async fn end_previous(
        &mut self,
        connection: &MultiplexedConnection,
        now: Option<&Identity>,
    ) -> Result<(), String> {
        let Some(previous) = &self.previous else {
            return Ok(());
        };
        if now.is_some_and(|now| now.run_id == previous.run_id) {
            let id = previous.client_id.to_string();
            match ask(connection, &["CLIENT", "KILL", "ID", &id]).await {
                Err(why) if is_refusal(&why) => {
                    tracing::warn!(why, "CLIENT KILL was refused: late bytes may still execute");
                }
                Err(why) => return Err(why),
                Ok(_) => {}
            }
        }
        self.previous = None;
        Ok(())
    }

    /// Returns when the connection is closed or answers no more.
    async fn until_dead(&self, id: u64, probe: &mut MultiplexedConnection) {
        loop {
            self.alarm.raised().await;
            if self.alarm.is_lost(id) {
                return;
            }
            if self.alarm.take_suspicion(id) {
                let ping = redis::cmd("PING");
                let answered = timeout(self.target.ping_timeout, probe.send_packed_command(&ping));
                // Any reply will do, an error too: the connection carries both ways.
                if !matches!(answered.await, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

/// Locks and sessions must not be evicted: says so once where the server is set to.
async fn warn_of_eviction(connection: &MultiplexedConnection) {
    let Ok(info) = ask(connection, &["INFO", "memory"]).await else {
        return;
    };
    let policy = field(&info, "maxmemory_policy").unwrap_or_default();
    let limited = field(&info, "maxmemory").is_some_and(|limit| limit != "0");
    if limited && policy != "noeviction" {
        tracing::warn!(policy, "this server may evict locks: set maxmemory-policy noeviction");
    }
}

/// One command; an error reply or a broken connection in words.
async fn ask(connection: &MultiplexedConnection, words: &[&str]) -> Result<Value, String> {
    let mut cmd = redis::Cmd::new();
    for word in words {
        cmd.arg(*word);
    }
    let reply = connection.clone().send_packed_command(&cmd).await;
    match reply.and_then(Value::extract_error) {
        Ok(value) => Ok(value),
        Err(error) => {
            Err(in_one_line(&format_args!("{} {error}", error.code().unwrap_or_default())))
        }
    }
}

/// Whether the server understood and declined, as an ACL, an older version or a proxy does: the
/// connection itself can be used.
fn is_refusal(why: &str) -> bool {
    why.starts_with("NOPERM") || why.starts_with("ERR")
}

/// A field of an `INFO` reply.
fn field(info: &Value, name: &str) -> Option<String> {
    let text = match info {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
        _ => return None,
    };
    let of = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let mut lines = text.lines();
    lines.find(|line| line.split(':').next() == Some(name)).and_then(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_its_maximum_and_never_waits_less_than_half() {
        let backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(2) };
        for (failures, full) in [(0, 50), (1, 100), (5, 1600), (6, 2000), (4_000_000, 2000)] {
            let full = Duration::from_millis(full);
            for _ in 0..100 {
                let wait = backoff.wait(failures);
                assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
            }
        }
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = Value::BulkString(b"# Memory\r\nmaxmemory:7\r\nmaxmemory_policy:x\r\n".to_vec());
        assert_eq!(field(&info, "maxmemory").as_deref(), Some("7"));
        assert_eq!(field(&info, "maxmemory_policy").as_deref(), Some("x"));
        assert_eq!(field(&info, "max"), None);
    }
}
