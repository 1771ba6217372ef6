//! The caller's side of a connection that is kept up: the present connection, waiting for one, and
//! telling the reconnect loop what went wrong.

use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::circuit::Panel;
use super::deadline::Deadline;
use super::flight::Flights;
use super::push::Push;
use super::reply::decode;
use super::state::{Alarm, State, Told};
use super::supervisor::Supervisor;
use super::target::{Target, Where};
use crate::error::{Error, Result, ServerError, ServerErrorKind, in_one_line};

pub(super) struct Link {
    state: watch::Receiver<State>,
    alarm: Alarm,
    name: String,
    /// Whether another server can become the one that it leads to.
    moves: bool,
    pub(super) flights: Arc<Flights>,
    supervisor: JoinHandle<()>,
    runtime: Handle,
    target: Target,
    push: Mutex<Option<Arc<Push>>>,
}

/// What a link sends.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Plain(&'a Cmd),
    /// To a node of a cluster that takes a slot over: behind an `ASKING`, which holds for one command.
    Asking(&'a Cmd),
}

/// What a call has sent, with every step that it takes: it may have been executed by that.
#[derive(Default)]
pub(crate) struct Sent {
    /// Just now, without an answer yet.
    pub(super) last: bool,
    /// Before, on a connection that was cut.
    pub(super) before: bool,
    /// The last connection, and how many answers there were by then.
    on: Option<(u64, u64)>,
    /// Since when it waits for the last node, or nobody had an answer of a caller's connection.
    since: Option<Instant>,
    is_probe: bool,
}

impl Sent {
    /// Nothing yet, but for what was sent in an earlier step.
    pub(super) fn after(before: bool) -> Self {
        Self { before, ..Self::default() }
    }

    /// On a connection of the caller's, which had given so many answers by then.
    /// `since` is when the last silence began.
    pub(super) fn begin(&mut self, answers: u64, since: Option<Instant>, is_probe: bool) {
        (self.last, self.on, self.since) = (true, Some((0, answers)), since);
        self.is_probe = is_probe;
    }

    /// Since when it has waited, or calls like it have.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether it is to find out whether a node is back.
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// How many answers there were when it was sent.
    pub(super) fn answers(&self) -> Option<u64> {
        self.on.map(|(_, answers)| answers)
    }

    pub(super) fn anything(&self) -> bool {
        self.last || self.before
    }

    /// What the whole call ends with: a refusal says nothing of what was sent before it.
    pub(crate) fn weigh(&self, error: Error, deadline: Deadline) -> Error {
        match self.before && !error.may_have_executed() {
            true => deadline.unanswered(format!("the connection was cut; sent again: {error}")),
            false => error,
        }
    }
}

/// A call that is sent and waits, whose caller may go away at any time: then it is asked whether the
/// connection is dead, unless something was answered meanwhile. That says nothing against the node.
struct Waits<'a> {
    link: &'a Link,
    id: u64,
    /// How many there were when it was sent.
    answers: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let Link { alarm, target, .. } = self.link;
        if self.answers == alarm.raised.answers() {
            alarm.given_up(self.id, target.manner.ping_timeout / 4);
        }
    }
}

impl Request<'_> {
    async fn send(self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        match self {
            Self::Plain(cmd) => connection.send_packed_command(cmd).await,
            Self::Asking(cmd) => {
                let mut both = redis::Pipeline::with_capacity(2);
                both.cmd("ASKING").add_command(cmd.clone());
                let replies = connection.send_packed_commands(&both, 0, 2).await?;
                // A refused ASKING says more than what the command then came to.
                let asking = replies.iter().find(|reply| matches!(reply, Value::ServerError(_)));
                Ok(asking.or(replies.last()).cloned().unwrap_or(Value::Nil))
            }
        }
    }
}

impl Link {
    /// Starts the reconnect loop on this runtime. `fell` is notified whenever a connection is lost.
    pub(super) fn open(target: Target, fell: Arc<Notify>, runtime: &Handle) -> Self {
        let (name, moves) = (target.name(), matches!(target.place, Where::Named(_)));
        let (told, state) = Told::new(&name, target.breaker());
        let alarm = Alarm::new(&told);
        let supervisor = Supervisor::new(target.clone(), told, Arc::clone(&alarm.raised), fell);
        let supervisor = runtime.spawn(supervisor.run());
        let (flights, push) = (Arc::default(), Mutex::default());
        let runtime = runtime.clone();
        Self { state, alarm, name, moves, flights, supervisor, runtime, target, push }
    }

    /// What hears the messages of the same server. Begins to connect where nobody has asked before.
    pub(super) fn push(&self, sharded: bool) -> Arc<Push> {
        let mut push = self.push.lock().unwrap_or_else(PoisonError::into_inner);
        match &*push {
            Some(push) if !push.has_ended() => Arc::clone(push),
            _ => Arc::clone(push.insert(Arc::new(Push::open(
                self.target.clone(),
                sharded,
                &self.runtime,
            )))),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where its reconnect loop runs.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn panel(&self) -> &Panel {
        &self.target.manner.panel
    }

    pub(super) fn is_up(&self) -> bool {
        self.present().is_some()
    }

    /// The present connection.
    pub(super) fn present(&self) -> Option<u64> {
        match *self.state.borrow() {
            State::Up(id, _) => Some(id),
            _ => None,
        }
    }

    /// Waits until this connection is not the present one.
    pub(super) async fn lost(&self, id: u64) {
        self.wait(|state| !matches!(state, State::Up(at, _) if *at == id)).await;
    }

    pub(super) async fn first_attempt(&self) {
        self.wait(|state| !matches!(state, State::Connecting)).await;
    }

    pub(super) async fn connected(&self) {
        self.wait(|state| matches!(state, State::Up(..))).await;
    }

    /// Whether the reconnect loop has ended with its runtime.
    pub(super) fn has_ended(&self) -> bool {
        self.state.has_changed().is_err()
    }

    /// Something of the caller's own was answered on the connection.
    pub(super) fn served(&self) {
        self.alarm.raised.served();
    }

    /// Something had no reply in time: is the connection dead?
    pub(super) fn suspect(&self) {
        if let State::Up(id, _) = *self.state.borrow() {
            self.alarm.suspect(id);
        }
    }

    /// A call was cut off that had come so far. Where nothing at all was answered meanwhile, to this one
    /// or to others, these need not wait as well; but one that was given little time says little.
    pub(super) fn unanswered(&self, sent: &Sent, deadline: Deadline) {
        let waited = sent.since.map(|since| since.elapsed()).unwrap_or_default();
        let is_long = waited * 2 >= self.target.manner.ping_timeout && !deadline.was_missed();
        let why = |what: &str| format!("no {what} within {:?}", deadline.limit());
        match sent.on {
            Some((id, answers)) if is_long && answers == self.alarm.raised.answers() => {
                self.alarm.silent(id, &why("reply"));
            }
            Some((id, _)) => self.alarm.suspect(id),
            None if is_long => self.alarm.none(&why("connection")),
            None => {}
        }
    }

    /// Sends a command. Where the connection was cut under it, or its server is no longer the primary,
    /// it is sent once more on the next one: what this crate sends may be executed twice.
    pub(super) async fn call(
        &self,
        request: Request<'_>,
        deadline: Deadline,
        sent: &mut Sent,
    ) -> Result<Value> {
        (sent.on, sent.since) = (None, Some(Instant::now()));
        let (id, mut connection) = self.connection_after(0).await?;
        let waits = self.sends_on(id, sent);
        let outcome = match request.send(&mut connection).await {
            Err(error) if error.is_unrecoverable_error() => {
                sent.before = true;
                Err(deadline.unanswered(in_one_line(&error)))
            }
            reply => match self.heard(id, decode(reply, deadline)) {
                Err(Error::Server(error)) if self.leaves(error.kind) => {
                    sent.last = false;
                    Err(error.into())
                }
                reply => return reply,
            },
        };
        self.alarm.lost(id);
        drop((waits, connection));
        sent.on = None;
        match self.connection_after(id).await {
            Ok((id, mut next)) => {
                let _waits = self.sends_on(id, sent);
                self.heard(id, decode(request.send(&mut next).await, deadline))
            }
            Err(_) => outcome,
        }
    }

    fn sends_on(&self, id: u64, sent: &mut Sent) -> Waits<'_> {
        let answers = self.alarm.raised.answers();
        (sent.last, sent.on) = (true, Some((id, answers)));
        Waits { link: self, id, answers }
    }

    /// Notes what an answer says of the node.
    fn heard(&self, id: u64, answer: Result<Value>) -> Result<Value> {
        if let Err(Error::Unanswered { .. }) = answer {
            return answer;
        }
        self.alarm.raised.answered();
        match &answer {
            Err(Error::Server(error)) if error.kind.is_node_fault() => {
                if !self.leaves(error.kind) && !speaks_of_a_slot(error) {
                    self.alarm.refused(id, error);
                }
            }
            _ => self.alarm.raised.served(),
        }
        answer
    }

    /// Whether another server than the one that said so is to be asked for at once.
    fn leaves(&self, kind: ServerErrorKind) -> bool {
        self.moves && kind == ServerErrorKind::ReadOnly
    }

    /// The present connection, if it is a later one than `id`; else the next.
    pub(super) async fn connection_after(&self, id: u64) -> Result<(u64, MultiplexedConnection)> {
        let ready = |state: &State| match state {
            State::Connecting => None,
            State::Up(at, _) if *at <= id => None,
            State::Up(at, connection) => Some(Ok((*at, connection.clone()))),
            State::Down(why) => Some(Err(Error::Unavailable(why.to_string()))),
        };
        let now = ready(&self.state.borrow());
        if let Some(now) = now {
            if now.is_err() {
                // A caller that tries again at once must not starve the loop that reconnects.
                tokio::task::consume_budget().await;
            }
            return now;
        }
        let mut state = self.state.clone();
        loop {
            if state.changed().await.is_err() {
                let why = "the reconnect loop has ended with its runtime";
                return Err(Error::Unavailable(why.to_owned()));
            }
            if let Some(now) = ready(&state.borrow_and_update()) {
                return now;
            }
        }
    }

    async fn wait(&self, until: impl FnMut(&State) -> bool) {
        // An error means that the runtime of the loop has ended: there is nothing to wait for.
        let _ = self.state.clone().wait_for(until).await;
    }
}

/// Whether a node says no more than that nobody serves the slot of this call.
fn speaks_of_a_slot(error: &ServerError) -> bool {
    error.kind == ServerErrorKind::ClusterDown && error.message.contains("slot not served")
}

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}
