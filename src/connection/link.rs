//! The caller's side of a connection that is kept up: the present connection, waiting for one, and
//! telling the reconnect loop what went wrong.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::state::{Alarm, State};
use super::supervisor::{Supervisor, Target};
use super::{Deadline, decode, unanswered};
use crate::error::{Error, Result, in_one_line};

pub(super) struct Link {
    state: watch::Receiver<State>,
    alarm: Arc<Alarm>,
    target: String,
    supervisor: JoinHandle<()>,
}

impl Link {
    /// Starts the reconnect loop on the present runtime.
    pub(super) fn open(target: Target) -> Result<Self> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::Config("a handle is built inside a Tokio runtime".to_owned()))?;
        let (tell, state) = watch::channel(State::Connecting);
        let alarm = Arc::<Alarm>::default();
        let name = target.name();
        let supervisor = Supervisor::new(target, tell, Arc::clone(&alarm));
        Ok(Self { state, alarm, target: name, supervisor: runtime.spawn(supervisor.run()) })
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(..))
    }

    pub(super) async fn first_attempt(&self) {
        self.wait(|state| !matches!(state, State::Connecting)).await;
    }

    pub(super) async fn connected(&self) {
        self.wait(|state| matches!(state, State::Up(..))).await;
    }

    /// A call had no reply in time: is the connection dead?
    pub(super) fn suspect(&self) {
        if let State::Up(id, _) = *self.state.borrow() {
            self.alarm.suspect(id);
        }
    }

    /// Sends a command. Where the connection was cut under it, it is sent once more on the next
    /// one: what this crate sends may be executed twice.
    pub(super) async fn call(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        sent: &mut bool,
    ) -> Result<Value> {
        let (id, mut connection) = self.connection_after(0).await?;
        *sent = true;
        let reply = connection.send_packed_command(cmd).await;
        let cut = match &reply {
            Err(error) if error.is_unrecoverable_error() => in_one_line(error),
            _ => return decode(reply, deadline),
        };
        self.alarm.lost(id);
        drop(connection);
        match self.connection_after(id).await {
            Ok((_, mut next)) => decode(next.send_packed_command(cmd).await, deadline),
            Err(_) => Err(unanswered(deadline, cut)),
        }
    }

    /// The present connection, if it is a later one than `id`; else the next.
    async fn connection_after(&self, id: u64) -> Result<(u64, MultiplexedConnection)> {
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

impl Drop for Link {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}
