//! Asking the Sentinels for the primary, and hearing from them when it changes.

#[cfg(test)]
pub(super) mod laws;

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::backoff::Backoff;
use super::dial::{Dialer, ask, text, without_timers};
use super::state::Raised;
use super::url::ServerAddress;
use crate::error::in_one_line;

/// Said by the Sentinel that leads a failover once a replica is promoted, and by every Sentinel when
/// it knows of the new primary.
const EVENTS: [&str; 2] = ["+promoted-slave", "+switch-master"];
/// How long the other Sentinels are waited for once most have answered.
const OTHERS: Duration = Duration::from_millis(50);

/// The Sentinels that watch one primary.
pub(super) struct Sentinels {
    pub(super) dialer: Dialer,
    pub(super) addresses: Vec<Address>,
    pub(super) service: String,
    pub(super) ask_within: Duration,
    pub(super) backoff: Backoff,
}

impl Sentinels {
    /// Where the primary is, by the Sentinel with the newest configuration among those that answer.
    /// One that was cut off from the others may still name the last primary.
    pub(super) async fn primary(self: &Arc<Self>) -> Result<Address, String> {
        let mut asked = JoinSet::new();
        for address in self.addresses.clone() {
            let sentinels = Arc::clone(self);
            asked.spawn(async move {
                let answer = timeout(sentinels.ask_within, sentinels.ask_one(&address)).await;
                let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                answer.map_err(|why| format!("{address}: {why}"))
            });
        }
        let mut newest: Option<(i64, Address)> = None;
        let mut refusals = Vec::new();
        let mut answers = 0;
        loop {
            let next = match answers * 2 > self.addresses.len() {
                false => asked.join_next().await,
                true => timeout(OTHERS, asked.join_next()).await.unwrap_or(None),
            };
            match next {
                Some(Ok(Ok(answer))) => {
                    answers += 1;
                    if newest.as_ref().is_none_or(|newest| answer.0 > newest.0) {
                        newest = Some(answer);
                    }
                }
                Some(Ok(Err(why))) => refusals.push(why),
                Some(Err(ended)) => refusals.push(ended.to_string()),
                None => break,
            }
        }
        let told = newest.map(|(_, address)| address);
        told.ok_or_else(|| format!("no Sentinel tells the primary: {}", refusals.join("; ")))
    }

    /// The configuration epoch and the primary, as one Sentinel knows them.
    async fn ask_one(&self, address: &Address) -> Result<(i64, Address), String> {
        let address = ServerAddress::Tcp(address.clone());
        let connection = self.dialer.connect(&address, without_timers()).await?;
        let state = ["SENTINEL", "MASTER", &self.service];
        let primary = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.service];
        let (state, primary) = tokio::join!(ask(&connection, &state), ask(&connection, &primary));
        let epoch = field(&state?, "config-epoch").and_then(|epoch| epoch.parse().ok());
        let epoch = epoch.ok_or("a reply without config-epoch")?;
        let primary = primary?;
        let Value::Array(words) = &primary else {
            return Err(format!("it knows no primary of {}", self.service));
        };
        let [Some(host), Some(port)] = [0, 1].map(|at| words.get(at).and_then(text)) else {
            return Err("a primary without host and port".to_owned());
        };
        let port = port.parse().map_err(|_| "a primary without a port")?;
        Ok((epoch, Address::new(host, port)))
    }

    /// Listens to all Sentinels for as long as it is polled.
    pub(super) async fn listen(self: Arc<Self>, raised: Arc<Raised>) {
        let mut listeners = JoinSet::new();
        for address in self.addresses.clone() {
            let (sentinels, raised) = (Arc::clone(&self), Arc::clone(&raised));
            listeners.spawn(async move {
                let mut failures = 0;
                loop {
                    match sentinels.listen_to(&address, &raised).await {
                        Ok(()) => failures = 0,
                        Err(why) => {
                            if failures == 0 {
                                tracing::warn!(%address, why, "a Sentinel is not listened to");
                            }
                            failures += 1;
                        }
                    }
                    sleep(sentinels.backoff.wait(failures)).await;
                }
            });
        }
        listeners.join_all().await;
    }

    /// Listens to one Sentinel until its connection ends.
    async fn listen_to(&self, address: &Address, raised: &Arc<Raised>) -> Result<(), String> {
        let ended = Arc::new(Notify::new());
        let (tell, ends) = (Arc::clone(raised), Arc::clone(&ended));
        let service = self.service.clone();
        let config = without_timers().set_push_sender(move |push: PushInfo| {
            match push.kind {
                PushKind::Disconnection => ends.notify_one(),
                PushKind::Message if speaks_of(&push, &service) => tell.rumours.moved.notify_one(),
                _ => {}
            }
            Ok::<(), ()>(())
        });
        let address = ServerAddress::Tcp(address.clone());
        let mut dialer = self.dialer.clone();
        // What is pushed beside replies takes this version.
        dialer.settings = dialer.settings.set_protocol(redis::ProtocolVersion::RESP3);
        let subscribed = async {
            let mut connection = dialer.connect(&address, config).await?;
            connection.subscribe(&EVENTS[..]).await.map_err(|error| in_one_line(&error))?;
            Ok::<_, String>(connection)
        };
        let subscribed = timeout(self.ask_within, subscribed).await;
        let _connection = subscribed.map_err(|_| "no answer in time".to_owned())??;
        // What it said before is not repeated.
        raised.rumours.unheard.notify_one();
        ended.notified().await;
        Ok(())
    }
}

fn speaks_of(push: &PushInfo, service: &str) -> bool {
    let message = push.data.get(1).and_then(text).unwrap_or_default();
    message.split(' ').any(|word| word == service)
}

/// A field of a reply that is a map, or names and values in turn.
fn field(reply: &Value, name: &str) -> Option<String> {
    let value = match reply {
        Value::Map(pairs) => {
            pairs.iter().find(|(key, _)| text(key) == Some(name)).map(|(_, value)| value)
        }
        Value::Array(words) => {
            let mut pairs = words.chunks_exact(2);
            pairs.find(|pair| text(&pair[0]) == Some(name)).map(|pair| &pair[1])
        }
        _ => None,
    };
    value.and_then(text).map(str::to_owned)
}
