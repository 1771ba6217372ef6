//! Hearing what is published, on a connection of its own: the server cuts a subscriber that reads too
//! slowly, and calls should not end with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::deadline::Deadline;
use super::link::Link;
use super::reply::decode;
use super::target::Target;
use crate::clock::Moment;
use crate::error::{Error, Result, ServerErrorKind};

/// What hears the messages of one server, or of the primary that Sentinels name.
pub(crate) struct Push {
    link: Link,
    board: Arc<Board>,
    /// Whether channels belong to slots here.
    sharded: AtomicBool,
}

/// Who listens, by channel.
#[derive(Default)]
pub(super) struct Board(Mutex<HashMap<Vec<u8>, watch::Sender<Option<Heard>>>>);

/// What was published last, and when it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) at: Moment,
    pub(crate) message: Arc<[u8]>,
}

/// A subscription to one channel, which ends with the connection that it is on, or when it is dropped.
pub(crate) struct Ear {
    push: Arc<Push>,
    channel: String,
    heard: watch::Receiver<Option<Heard>>,
    /// On which connection.
    on: Option<(u64, MultiplexedConnection)>,
    sharded: bool,
}

impl Push {
    /// Begins to connect, on this runtime: that of whoever asks first may end or stand still before others
    /// do. `sharded` says that this is a node of a cluster.
    pub(super) fn open(target: Target, sharded: bool, runtime: &Handle) -> Self {
        let board = Arc::<Board>::default();
        let (target, fell) = (target.that_hears(Arc::clone(&board)), Arc::<Notify>::default());
        let link = Link::open(target, fell, runtime);
        Self { link, board, sharded: AtomicBool::new(sharded) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    /// Subscribes to a channel that nobody has subscribed to before. One round trip.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        channel: String,
        deadline: Deadline,
    ) -> Result<Ear> {
        let (tell, heard) = watch::channel(None);
        self.board.ears().insert(channel.clone().into(), tell);
        let mut ear = Ear { push: Arc::clone(self), channel, heard, on: None, sharded: false };
        let on = deadline.bound(self.link.connection_after(0)).await??;
        // From now on it is to be unsubscribed.
        ear.on = Some(on.clone());
        ear.sharded = self.sharded.load(Ordering::Relaxed);
        let mut subscribed = ear.ask(on.clone(), "SUBSCRIBE", deadline).await;
        if ear.sharded && is_unknown(&subscribed) {
            // Before Redis 7.0 a channel belongs to no slot.
            self.sharded.store(false, Ordering::Relaxed);
            ear.sharded = false;
            subscribed = ear.ask(on.clone(), "SUBSCRIBE", deadline).await;
        }
        subscribed.map(|_| ear)
    }
}

impl Ear {
    /// Whether `SPUBLISH` reaches it, rather than `PUBLISH`.
    pub(crate) fn is_sharded(&self) -> bool {
        self.sharded
    }

    /// Whether it hears what is published there.
    pub(crate) fn is_on(&self, push: &Arc<Push>) -> bool {
        Arc::ptr_eq(push, &self.push) && self.is_live()
    }

    fn is_live(&self) -> bool {
        self.on.is_some() && self.on.as_ref().map(|(id, _)| *id) == self.push.link.present()
    }

    /// The next message, or nothing once the connection is lost. A message that came while nobody
    /// waited is the next one, unless another came after it.
    pub(crate) async fn hear(&mut self) -> Option<Heard> {
        let (id, _) = *self.on.as_ref()?;
        tokio::select! {
            biased;
            changed = self.heard.changed() => changed.ok()?,
            () = self.push.link.lost(id) => return None,
        }
        self.heard.borrow_and_update().clone()
    }

    /// It may hear nothing any more.
    pub(crate) fn suspect(&self) {
        if self.is_live() {
            self.push.link.suspect();
        }
    }

    async fn ask(
        &self,
        (_, mut connection): (u64, MultiplexedConnection),
        verb: &str,
        deadline: Deadline,
    ) -> Result<Value> {
        let cmd = self.command(verb);
        let reply = tokio::time::timeout_at(deadline.at, connection.send_packed_command(&cmd));
        match reply.await {
            Ok(reply) => {
                let reply = decode(reply, deadline);
                if reply.is_ok() {
                    self.push.link.served();
                }
                reply
            }
            Err(_) => {
                self.push.link.suspect();
                Err(deadline.too_late(true))
            }
        }
    }

    fn command(&self, verb: &str) -> Cmd {
        let mut cmd = match self.sharded {
            true => redis::cmd(&format!("S{verb}")),
            false => redis::cmd(verb),
        };
        cmd.arg(&self.channel);
        cmd
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.push.board.ears().remove(self.channel.as_bytes());
        let Some((_, mut connection)) = self.on.take() else { return };
        let cmd = self.command("UNSUBSCRIBE");
        self.push.link.runtime().spawn(async move {
            // It ends with the connection at the latest.
            let _ = connection.send_packed_command(&cmd).await;
        });
    }
}

impl Board {
    /// Takes what was pushed: whether the connection can be used further.
    pub(super) fn hear(&self, push: PushInfo) -> bool {
        let (channel, message) = match &push.data[..] {
            [Value::BulkString(channel), rest @ ..] => (channel, rest.first()),
            _ => return true,
        };
        let ears = self.ears();
        let Some(ear) = ears.get(channel) else { return true };
        match (push.kind, message) {
            (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(message))) => {
                ear.send_replace(Some(Heard { at: Moment::now(), message: message[..].into() }));
                true
            }
            // Its slot has moved to another node. This one says so in the place of a reply.
            (PushKind::SUnsubscribe, _) => false,
            _ => true,
        }
    }

    fn ears(&self) -> MutexGuard<'_, HashMap<Vec<u8>, watch::Sender<Option<Heard>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server does not know the command, or this user may not know it.
fn is_unknown(reply: &Result<Value>) -> bool {
    let kinds = [ServerErrorKind::Other, ServerErrorKind::NoPermission];
    matches!(reply, Err(Error::Server(error)) if kinds.contains(&error.kind))
}
