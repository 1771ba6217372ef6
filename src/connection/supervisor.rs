//! The reconnect loop: one task per handle that keeps one connection up.
//!
//! A connection is replaced when it is closed, or when a call on it had no reply in time and a
//! `PING` has none either. The new one first ends the old one on the server by its id, so that
//! bytes still on their way on the old one cannot execute after what follows on the new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::backoff::Backoff;
use super::dial::{Dialer, ask, is_refusal, text, without_timers};
use super::push::Board;
use super::sentinel::Sentinels;
use super::state::{Alarm, State};
use super::url::ServerAddress;

/// Tells each connection of this process from those before it.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// What a reconnect loop keeps a connection to, and how.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) place: Where,
    pub(super) manner: Arc<Manner>,
    /// Where what is pushed goes to, on a connection that is there for it.
    hears: Option<Arc<Board>>,
}

/// How connections are made and kept, wherever to.
#[derive(Clone)]
pub(super) struct Manner {
    pub(super) dialer: Dialer,
    pub(super) client_name: Option<String>,
    pub(super) connect_timeout: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) backoff: Backoff,
}

/// Where a connection leads.
#[derive(Clone)]
pub(super) enum Where {
    /// Always here.
    At(ServerAddress),
    /// To the primary that the Sentinels name at the time.
    Named(Arc<Sentinels>),
}

impl Target {
    pub(super) fn new(place: Where, manner: Arc<Manner>) -> Self {
        Self { place, manner, hears: None }
    }

    /// The same for a connection on which messages are heard.
    pub(super) fn that_hears(&self, board: Arc<Board>) -> Self {
        let mut manner = Manner::clone(&self.manner);
        // What is pushed beside replies takes this version.
        manner.dialer.settings = manner.dialer.settings.set_protocol(ProtocolVersion::RESP3);
        Self { place: self.place.clone(), manner: Arc::new(manner), hears: Some(board) }
    }

    /// Where it leads, without credentials.
    pub(super) fn name(&self) -> String {
        let name = match &self.place {
            Where::At(address) => address.to_string(),
            Where::Named(sentinels) => format!("the primary of {}", sentinels.service),
        };
        if self.hears.is_some() { name + ", to hear of locks" } else { name }
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
    name: String,
    tell: watch::Sender<State>,
    alarm: Arc<Alarm>,
    /// Notified whenever a connection is lost.
    fell: Arc<Notify>,
    /// The server of the last connection.
    at: Option<ServerAddress>,
    /// The last connection that was in use, until it is known to have ended on the server.
    previous: Option<Identity>,
    eviction_checked: bool,
}

impl Supervisor {
    pub(super) fn new(
        target: Target,
        tell: watch::Sender<State>,
        alarm: Arc<Alarm>,
        fell: Arc<Notify>,
    ) -> Self {
        let name = target.name();
        let (at, previous, eviction_checked) = (None, None, target.hears.is_some());
        Self { target, name, tell, alarm, fell, at, previous, eviction_checked }
    }

    pub(super) async fn run(self) {
        let rumours = Arc::clone(&self.alarm.rumours);
        match &self.target.place {
            Where::At(_) => self.keep_up().await,
            Where::Named(sentinels) => {
                let listening = Arc::clone(sentinels).listen(rumours);
                tokio::join!(listening, self.keep_up());
            }
        }
    }

    async fn keep_up(mut self) {
        loop {
            let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
            let (connection, identity) = self.connect(id).await;
            self.previous = identity;
            tracing::info!(target = self.name, "connected to redis");
            let mut probe = connection.clone();
            self.tell.send_replace(State::Up(id, connection));
            self.until_dead(id, &mut probe).await;
            tracing::warn!(target = self.name, "the connection to redis is lost");
            self.tell.send_replace(State::Connecting);
            self.fell.notify_one();
        }
    }

    /// Tries until there is a connection. Word of another primary ends an attempt and a wait.
    async fn connect(&mut self, id: u64) -> (MultiplexedConnection, Option<Identity>) {
        let (manner, rumours) = (Arc::clone(&self.target.manner), Arc::clone(&self.alarm.rumours));
        let mut failures = 0;
        loop {
            let attempt = timeout(manner.connect_timeout, self.attempt(id));
            let outcome = tokio::select! {
                outcome = attempt => outcome,
                () = rumours.moved.notified() => continue,
            };
            match outcome {
                Ok(Ok(connected)) => return connected,
                Ok(Err(why)) => self.failed(failures, &why),
                Err(_) => {
                    let limit = manner.connect_timeout;
                    self.failed(failures, &format!("no connection within {limit:?}"));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(manner.backoff.wait(failures)) => {}
                () = rumours.moved.notified() => {}
            }
            failures += 1;
        }
    }

    fn failed(&self, failures: u32, why: &str) {
        if failures == 0 {
            tracing::warn!(target = self.name, why, "cannot connect to redis");
        }
        self.tell.send_replace(State::Down(why.into()));
    }

    async fn attempt(
        &mut self,
        id: u64,
    ) -> Result<(MultiplexedConnection, Option<Identity>), String> {
        let address = self.locate().await?;
        let connection = self.target.manner.dialer.connect(&address, self.config(id)).await?;
        if let Where::Named(_) = self.target.place {
            check_role(&connection, &address).await?;
        }
        let identity = self.introduce(&connection).await?;
        self.end_previous(&connection, identity.as_ref()).await?;
        if !self.eviction_checked {
            self.eviction_checked = true;
            warn_of_eviction(&connection).await;
        }
        self.at = Some(address);
        Ok((connection, identity))
    }

    async fn locate(&self) -> Result<ServerAddress, String> {
        match &self.target.place {
            Where::At(address) => Ok(address.clone()),
            Where::Named(sentinels) => sentinels.primary().await.map(ServerAddress::Tcp),
        }
    }

    fn config(&self, id: u64) -> AsyncConnectionConfig {
        let config = without_timers();
        if self.target.manner.dialer.settings.protocol() == ProtocolVersion::RESP2 {
            // No word of a closed connection until the next call meets it.
            return config;
        }
        let (alarm, hears) = (Arc::clone(&self.alarm), self.target.hears.clone());
        config.set_push_sender(move |push: PushInfo| {
            let is_lost = push.kind == PushKind::Disconnection;
            if is_lost || hears.as_ref().is_some_and(|board| !board.hear(push)) {
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
            match &self.target.manner.client_name {
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
            (Err(why), _) | (_, Err(why)) => {
                tracing::warn!(why, "CLIENT ID or INFO was refused: late bytes may still execute");
                Ok(None)
            }
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

    /// Returns when the connection is closed or answers no more, or another server is the primary.
    async fn until_dead(&self, id: u64, probe: &mut MultiplexedConnection) {
        loop {
            let is_rumour = tokio::select! {
                () = self.alarm.raised() => false,
                () = self.alarm.rumours.moved.notified() => true,
                () = self.alarm.rumours.unheard.notified() => true,
            };
            if is_rumour {
                // Sentinels that cannot be asked are no reason to leave.
                let named = timeout(self.target.manner.connect_timeout, self.locate()).await;
                if matches!(named, Ok(Ok(named)) if Some(&named) != self.at.as_ref()) {
                    return;
                }
            }
            if self.alarm.is_lost(id) {
                return;
            }
            if self.alarm.take_suspicion(id) {
                let ping = redis::cmd("PING");
                let within = self.target.manner.ping_timeout;
                let answered = timeout(within, probe.send_packed_command(&ping));
                // Any reply will do, an error too: the connection carries both ways.
                if !matches!(answered.await, Ok(Ok(_))) {
                    return;
                }
            }
        }
    }
}

/// The Sentinels may be behind, and a replica would refuse to write.
async fn check_role(
    connection: &MultiplexedConnection,
    address: &ServerAddress,
) -> Result<(), String> {
    match ask(connection, &["ROLE"]).await? {
        Value::Array(words) if words.first().and_then(text) == Some("master") => Ok(()),
        _ => Err(format!("{address}, which the Sentinels name, is no primary")),
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

/// A field of an `INFO` reply.
fn field(info: &Value, name: &str) -> Option<String> {
    let text = text(info)?;
    let of = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let mut lines = text.lines();
    lines.find(|line| line.split(':').next() == Some(name)).and_then(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = Value::BulkString(b"# Memory\r\nmaxmemory:7\r\nmaxmemory_policy:x\r\n".to_vec());
        assert_eq!(field(&info, "maxmemory").as_deref(), Some("7"));
        assert_eq!(field(&info, "maxmemory_policy").as_deref(), Some("x"));
        assert_eq!(field(&info, "max"), None);
    }
}
