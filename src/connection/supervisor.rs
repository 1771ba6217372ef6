//! The reconnect loop: one task per handle that keeps one connection up.
//!
//! A connection is replaced when it is closed, or when a call on it had no reply in time and a
//! `PING` has none either. The new one first ends those before it on the server by their ids, so that
//! bytes still on their way on them cannot execute after what follows on the new one.
//!
//! Its `PING`s and its attempts to connect are the probes of the circuit, one at a time: no call has to
//! find out whether the node is back.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::closings::Closings;
use super::dial::{ask, field, is_refusal, text, warn_of_eviction, without_timers};
use super::identity::Identity;
use super::state::{Raised, Told};
use super::target::{Target, Where};
use super::url::ServerAddress;
use crate::error::{ServerErrorKind, classify};

/// Tells each connection of this process from those before it.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

pub(super) struct Supervisor {
    target: Target,
    told: Arc<Told>,
    raised: Arc<Raised>,
    /// Notified whenever a connection is lost.
    fell: Arc<Notify>,
    /// The server of the last connection.
    at: Option<ServerAddress>,
    eviction_checked: bool,
    /// A server that does not write was found where one was expected that does.
    demands_primary: bool,
    /// A node said that its cluster is down, and not yet that it is up.
    cluster_down: bool,
    /// It was told that this user may not ask for the role.
    role_refused: bool,
}

/// What a probe found.
enum Probe {
    Sound,
    /// It answers, and cannot serve for this reason.
    Refuses(String),
    /// The connection is of no use any more.
    Dead,
}

impl Supervisor {
    pub(super) fn new(
        target: Target,
        told: Arc<Told>,
        raised: Arc<Raised>,
        fell: Arc<Notify>,
    ) -> Self {
        let eviction_checked = target.hears.is_some();
        let demands_primary = matches!(target.place, Where::Named(_));
        let (at, cluster_down) = (None, false);
        Self {
            target,
            told,
            raised,
            fell,
            at,
            eviction_checked,
            demands_primary,
            cluster_down,
            role_refused: false,
        }
    }

    pub(super) async fn run(self) {
        let raised = Arc::clone(&self.raised);
        match &self.target.place {
            Where::At(_) => self.keep_up().await,
            Where::Named(sentinels) => {
                let listening = Arc::clone(sentinels).listen(raised);
                tokio::join!(listening, self.keep_up());
            }
        }
    }

    async fn keep_up(mut self) {
        let backoff = self.target.manner.backoff;
        let mut useless = 0;
        loop {
            let id = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
            let connection = self.connect(id).await;
            let (since, served) = (Instant::now(), self.raised.calls_served());
            let was_sound = self.until_dead(id, &connection).await;
            let has_served = self.raised.calls_served() != served;
            self.told.cut();
            self.fell.notify_one();
            drop(connection);
            // One that nobody could use, or that only refuses to write, may be found again at once.
            let refuses = self.demands_primary && matches!(self.target.place, Where::At(_));
            let lasted = since.elapsed() > backoff.max;
            let was_of_use = was_sound && !refuses && (has_served || lasted);
            if was_of_use || lasted {
                useless = 0;
            }
            if was_of_use {
                continue;
            }
            tokio::select! {
                () = sleep(backoff.wait(useless)) => {}
                () = self.raised.rumours.moved.notified() => {}
            }
            useless += 1;
        }
    }

    /// Tries until there is a connection. Word of another primary ends an attempt and a wait.
    async fn connect(&mut self, id: u64) -> MultiplexedConnection {
        let (manner, raised) = (Arc::clone(&self.target.manner), Arc::clone(&self.raised));
        let mut failures = 0;
        loop {
            self.told.probing();
            let attempt = timeout(manner.connect_timeout, self.attempt(id));
            let outcome = tokio::select! {
                outcome = attempt => outcome,
                () = raised.rumours.moved.notified() => continue,
            };
            match outcome {
                Ok(Ok(connected)) => return connected,
                Ok(Err(why)) => self.told.down(&why),
                Err(_) => {
                    let limit = manner.connect_timeout;
                    self.told.down(&format!("no connection within {limit:?}"));
                }
            }
            tokio::select! {
                () = sleep(manner.backoff.wait(failures)) => {}
                () = raised.rumours.moved.notified() => {}
            }
            failures += 1;
        }
    }

    async fn attempt(&mut self, id: u64) -> Result<MultiplexedConnection, String> {
        let address = self.locate().await?;
        let connection = self.target.manner.dialer.connect(&address, self.config(id)).await?;
        if self.demands_primary {
            self.check_role(&connection, &address).await?;
        }
        let identity = self.introduce(&connection).await?;
        if let Some(identity) = &identity {
            self.end_previous(&connection, identity).await?;
        }
        if !self.eviction_checked {
            self.eviction_checked = true;
            warn_of_eviction(&connection).await;
        }
        // Sentinels can be behind at any time. Of an attempt that fails nothing is known for the next one.
        self.demands_primary = matches!(self.target.place, Where::Named(_));
        self.at = Some(address);
        self.target.manner.register.go_over(identity, &self.told);
        Ok(connection)
    }

    /// The Sentinels may be behind, and a replica would refuse to write. Of a server that the caller named a
    /// user that may not ask does without.
    async fn check_role(
        &mut self,
        connection: &MultiplexedConnection,
        address: &ServerAddress,
    ) -> Result<(), String> {
        match ask(connection, &["ROLE"]).await {
            Ok(Value::Array(words)) if words.first().and_then(text) == Some("master") => Ok(()),
            Ok(_) => Err(format!("{address} is no primary")),
            Err(why) if is_refusal(&why) && matches!(self.target.place, Where::At(_)) => {
                if !std::mem::replace(&mut self.role_refused, true) {
                    tracing::warn!(why, "ROLE was refused: the server may still be no primary");
                }
                Ok(())
            }
            Err(why) => Err(why),
        }
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
        let (raised, hears) = (Arc::clone(&self.raised), self.target.hears.clone());
        config.set_push_sender(move |push: PushInfo| {
            let is_lost = push.kind == PushKind::Disconnection;
            if is_lost || hears.as_ref().is_some_and(|board| !board.hear(push)) {
                raised.lost(id);
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

    /// Ends the connections before this one on its server.
    async fn end_previous(
        &self,
        connection: &MultiplexedConnection,
        now: &Identity,
    ) -> Result<(), String> {
        let register = &self.target.manner.register;
        for previous in register.before(now, &self.told) {
            let id = previous.client_id.to_string();
            match ask(connection, &["CLIENT", "KILL", "ID", &id]).await {
                Err(why) if is_refusal(&why) => {
                    tracing::warn!(why, "CLIENT KILL was refused: late bytes may still execute");
                }
                Err(why) => return Err(why),
                Ok(_) => {}
            }
            register.forget(&previous);
        }
        Ok(())
    }

    /// Probes the connection when it is new and whenever there is doubt. Returns when it is closed or
    /// answers no more, or another server is the primary: whether it was sound before.
    async fn until_dead(&mut self, id: u64, connection: &MultiplexedConnection) -> bool {
        let (raised, backoff) = (Arc::clone(&self.raised), self.target.manner.backoff);
        let mut probe = connection.clone();
        let (mut doubted, mut was_sound) = (true, false);
        let mut refusals = 0;
        let mut closings = Closings::default();
        // No probe before then.
        let mut pause: Option<Instant> = None;
        loop {
            if raised.is_lost(id) {
                return was_sound;
            }
            let is_suspect = raised.take_suspicion(id);
            if is_suspect && !doubted && self.told.is_down() {
                doubted = true;
                let wait = closings.opened(raised.calls_served(), backoff);
                pause = wait.map(|wait| Instant::now() + wait);
            }
            pause = pause.filter(|until| *until > Instant::now());
            if (is_suspect || doubted) && pause.is_none() {
                self.told.probing();
                // A handle with little patience must not keep all others from a new connection.
                let patience = match was_sound {
                    true => self.target.manner.ping_timeout,
                    false => self.target.manner.connect_timeout,
                };
                match self.probe(id, &mut probe, patience).await {
                    Probe::Sound => {
                        if was_sound && self.told.is_down() {
                            closings.closed(raised.calls_served());
                        }
                        self.told.up(id, connection);
                        (doubted, was_sound, refusals) = (false, true, 0);
                    }
                    Probe::Refuses(why) => {
                        self.told.down(&why);
                        (doubted, refusals) = (true, refusals + 1);
                    }
                    Probe::Dead => return was_sound,
                }
            }
            let again = async {
                match pause {
                    Some(until) => sleep_until(until).await,
                    None if doubted => sleep(backoff.wait(refusals)).await,
                    None => pending().await,
                }
            };
            let is_rumour = tokio::select! {
                () = raised.notified() => false,
                () = raised.rumours.moved.notified() => true,
                () = raised.rumours.unheard.notified() => true,
                () = again => false,
            };
            if is_rumour {
                // Sentinels that cannot be asked are no reason to leave.
                let named = timeout(self.target.manner.connect_timeout, self.locate()).await;
                if matches!(named, Ok(Ok(named)) if Some(&named) != self.at.as_ref()) {
                    return was_sound;
                }
            }
        }
    }

    /// Whether the connection carries both ways, and what is behind it serves.
    async fn probe(
        &mut self,
        id: u64,
        connection: &mut MultiplexedConnection,
        patience: Duration,
    ) -> Probe {
        if self.raised.is_read_only(id) {
            // By another connection another server may be found under the same name.
            self.demands_primary = true;
            return Probe::Dead;
        }
        self.cluster_down |= self.raised.take_cluster_down();
        let ping = redis::cmd("PING");
        let refused = match timeout(patience, connection.send_packed_command(&ping)).await {
            Ok(Ok(Value::ServerError(error))) => {
                Some(classify(error.code(), error.details().unwrap_or_default()))
            }
            Ok(Ok(_)) => None,
            Ok(Err(_)) => return Probe::Dead,
            Err(_) => {
                self.told.down(&format!("no reply to PING within {patience:?}"));
                return Probe::Dead;
            }
        };
        self.raised.answered_ping();
        // Another error is an answer like any: it says no more than that this user may not ask.
        match refused.filter(|error| error.kind.is_node_fault()) {
            Some(error) if error.kind != ServerErrorKind::ReadOnly => {
                Probe::Refuses(error.to_string())
            }
            _ if self.cluster_down => self.probe_cluster(connection).await,
            _ => Probe::Sound,
        }
    }

    async fn probe_cluster(&mut self, connection: &MultiplexedConnection) -> Probe {
        let within = self.target.manner.ping_timeout;
        match timeout(within, ask(connection, &["CLUSTER", "INFO"])).await {
            Ok(Ok(info)) if field(&info, "cluster_state").as_deref() == Some("fail") => {
                Probe::Refuses("the node says that its cluster is down".to_owned())
            }
            Ok(Err(why)) if !is_refusal(&why) => Probe::Dead,
            Err(_) => Probe::Dead,
            Ok(_) => {
                self.cluster_down = false;
                Probe::Sound
            }
        }
    }
}
