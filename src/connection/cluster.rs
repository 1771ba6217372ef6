//! A cluster: one kept-up connection to each primary, and calls that go where their slot is served.
//!
//! Each primary has a reconnect loop of its own, so one that is dead or hangs stops the calls of its
//! own slots and no others. A refused call was not executed and goes on to where it is told.

mod discovery;
#[cfg(test)]
pub(super) mod laws;
mod map;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Arg, Cmd, Value};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::Progress;
use super::address::Address;
use super::circuit::Panel;
use super::deadline::Deadline;
use super::flight::Flights;
use super::link::{Link, Request, Sent};
use super::target::Manner;
use crate::error::{Error, Result, ServerErrorKind};
use crate::key::slot;
use discovery::{Discovery, View};
use map::SLOTS;

/// Redirections that are followed without a pause: a stale map, a slot that moves, and one more.
const AT_ONCE: u32 = 3;
/// The first pause before a call is tried again, doubled for each further one.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Cluster {
    discovery: Arc<Discovery>,
    running: JoinHandle<()>,
}

/// A primary, or whom a redirection named as one.
pub(super) struct Node {
    pub(super) address: Address,
    pub(super) link: Link,
    /// When a redirection named it last.
    named: Mutex<Instant>,
}

impl Cluster {
    /// Begins to look for the cluster's nodes, on this runtime.
    pub(super) fn open(seeds: Vec<Address>, manner: Arc<Manner>, runtime: Handle) -> Self {
        let discovery = Arc::new(Discovery::new(seeds, manner, runtime.clone()));
        let running = runtime.spawn(Arc::clone(&discovery).run());
        Self { discovery, running }
    }

    pub(super) fn name(&self) -> String {
        self.discovery.name()
    }

    /// Where its nodes are kept connected.
    pub(super) fn runtime(&self) -> &Handle {
        self.discovery.runtime()
    }

    pub(super) fn panel(&self) -> &Panel {
        self.discovery.panel()
    }

    /// Sends a command to the primary that serves its first key, to any where it has none, and goes on
    /// to where that redirects it.
    pub(super) async fn call(
        &self,
        cmd: &Cmd,
        deadline: Deadline,
        progress: &mut Progress,
    ) -> Result<Value> {
        let slot = slot_of(cmd);
        let mut node = self.serving(slot).await?;
        let mut asking = false;
        let mut refusals = 0;
        let mut tried_again = None;
        loop {
            progress.node = Some(Arc::clone(&node));
            let request = if asking { Request::Asking(cmd) } else { Request::Plain(cmd) };
            let refusal = match node.link.call(request, deadline, &mut progress.sent).await {
                Err(Error::Server(error)) => error,
                Err(error) => {
                    if error.is_node_fault() {
                        self.discovery.stale(None);
                    }
                    return Err(error);
                }
                answered => return answered,
            };
            let redirected = || redirection(&refusal.message, &node.address);
            let next = match refusal.kind {
                ServerErrorKind::Moved => redirected().map(|(slot, to)| {
                    asking = false;
                    self.discovery.moved(slot, &to)
                }),
                ServerErrorKind::Ask => redirected().map(|(_, to)| {
                    asking = true;
                    self.discovery.node(&to)
                }),
                // From its owner on: by then the keys may be together, there or elsewhere.
                ServerErrorKind::TryAgain if !progress.at_once => {
                    asking = false;
                    Some(self.serving(slot).await?)
                }
                kind => {
                    if kind.is_node_fault() {
                        self.discovery.stale(None);
                    }
                    None
                }
            };
            let Some(next) = next else {
                return Err(refusal.into());
            };
            progress.sent.last = false;
            refusals += 1;
            let tries_again = refusal.kind == ServerErrorKind::TryAgain;
            if tries_again {
                tried_again = Some(refusal.clone());
            }
            let waits = tries_again || refusals > AT_ONCE;
            if waits && !deadline.pause(PAUSE * (1 << refusals.min(4))).await {
                // The redirection to whoever says it would not tell why.
                return Err(tried_again.unwrap_or(refusal).into());
            }
            node = next;
        }
    }

    /// Sends a command to every primary, side by side: all replies, or an error of one.
    pub(super) async fn call_all(&self, cmd: &Cmd, deadline: Deadline) -> Result<Vec<Value>> {
        let mut calls = JoinSet::new();
        for node in self.known_primaries(deadline).await? {
            let cmd = cmd.clone();
            calls.spawn(async move { node.call(&cmd, deadline).await });
        }
        let answers: Result<Vec<_>> = calls.join_all().await.into_iter().collect();
        if answers.as_ref().is_err_and(Error::is_node_fault) {
            self.discovery.stale(None);
        }
        answers
    }

    /// Sends a command to this primary, wherever its keys are.
    pub(super) async fn call_on(
        &self,
        node: &Node,
        cmd: &Cmd,
        deadline: Deadline,
    ) -> Result<Value> {
        let answer = node.call(cmd, deadline).await;
        if answer.as_ref().is_err_and(Error::is_node_fault) {
            self.discovery.stale(None);
        }
        answer
    }

    /// The primaries, once there are any.
    pub(super) async fn known_primaries(&self, deadline: Deadline) -> Result<Vec<Arc<Node>>> {
        let found = deadline.bound(self.serving(None)).await;
        found.inspect_err(|_| self.unfound(deadline))??;
        Ok(self.primaries())
    }

    /// The primaries, as a node tells them now: one for each slot.
    pub(super) async fn ask_primaries(&self, deadline: Deadline) -> Result<Vec<Arc<Node>>> {
        let asked = timeout_at(deadline.at, self.discovery.refresh()).await;
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(why)) if Instant::now() < deadline.at => return Err(Error::Unavailable(why)),
            // One was asked, and had all the time.
            Ok(Err(_)) | Err(_) => return Err(deadline.too_late(true)),
        }
        match &*self.discovery.view() {
            View::Known(map) if map.is_complete() => Ok(map.primaries().to_vec()),
            _ => Err(Error::Unavailable("a slot has no primary".to_owned())),
        }
    }

    /// The primary that serves this slot, as far as is known.
    pub(super) fn node_of(&self, slot: u16) -> Option<Arc<Node>> {
        match &*self.discovery.view() {
            View::Known(map) => map.serving(Some(slot)),
            _ => None,
        }
    }

    /// Who is loading which script onto the node that serves a command's first key.
    pub(super) fn flights(&self, cmd: &Cmd) -> Arc<Flights> {
        let node = match &*self.discovery.view() {
            View::Known(map) => map.serving(slot_of(cmd)),
            _ => None,
        };
        node.map(|node| Arc::clone(&node.link.flights)).unwrap_or_default()
    }

    /// A call on this node was cut off that had come so far.
    pub(super) fn unanswered(&self, node: &Node, sent: &Sent, deadline: Deadline) {
        node.link.unanswered(sent, deadline);
        self.discovery.stale(None);
    }

    /// A call was cut off that had found no node.
    pub(super) fn unfound(&self, deadline: Deadline) {
        self.discovery.unfound(deadline);
    }

    pub(super) fn is_up(&self) -> bool {
        self.discovery.is_settled()
    }

    pub(super) async fn first_attempt(&self) {
        let attempt = async {
            self.discovery.told().await;
            for node in self.primaries() {
                node.link.first_attempt().await;
            }
        };
        // Several nodes may hang, one after the other.
        let _outcome = timeout(self.discovery.patience(), attempt).await;
    }

    pub(super) async fn connected(&self) {
        self.discovery.settled().await;
    }

    async fn serving(&self, slot: Option<u16>) -> Result<Arc<Node>> {
        let found = self.find(slot);
        let found = match found {
            Some(found) => found,
            None => {
                self.discovery.told().await;
                self.find(slot).unwrap_or_else(|| {
                    let why = "the search for the cluster has ended with its runtime";
                    Err(Error::Unavailable(why.to_owned()))
                })
            }
        };
        if found.is_err() {
            self.discovery.stale(None);
            // A caller that tries again at once must not starve the search.
            tokio::task::consume_budget().await;
        }
        found
    }

    /// Nothing while the cluster is looked for.
    fn find(&self, slot: Option<u16>) -> Option<Result<Arc<Node>>> {
        match &*self.discovery.view() {
            View::Unknown => None,
            View::Known(map) => Some(map.serving(slot).ok_or_else(|| {
                Error::Unavailable(match slot {
                    Some(slot) => format!("no primary serves the slot {slot}"),
                    None => "no primary serves any slot".to_owned(),
                })
            })),
            View::Unreachable(why) => Some(Err(Error::Unavailable(why.to_string()))),
        }
    }

    fn primaries(&self) -> Vec<Arc<Node>> {
        match &*self.discovery.view() {
            View::Known(map) => map.primaries().to_vec(),
            _ => Vec::new(),
        }
    }
}

impl Node {
    fn named_now(&self) {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn named_at(&self) -> Instant {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, cmd: &Cmd, deadline: Deadline) -> Result<Value> {
        let mut sent = Sent::default();
        let call = self.link.call(Request::Plain(cmd), deadline, &mut sent);
        let answer = timeout_at(deadline.at, call).await;
        answer.unwrap_or_else(|_| {
            self.link.unanswered(&sent, deadline);
            Err(deadline.too_late(sent.anything()))
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// The slot of a command's first key: after the number of keys in a script's call, else the first word
/// after the command.
fn slot_of(cmd: &Cmd) -> Option<u16> {
    let mut words = cmd.args_iter().map(|word| match word {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    });
    let key = match words.next()? {
        b"EVALSHA" | b"EVAL" => {
            let mut words = words.skip(1);
            words.next().filter(|&number| number != b"0").and_then(|_| words.next())
        }
        _ => words.next(),
    };
    key.map(slot)
}

/// The slot and the node of a `MOVED` or an `ASK`. One without a host means the host that said it.
fn redirection(message: &str, from: &Address) -> Option<(u16, Address)> {
    let (slot, to) = message.split_once(' ')?;
    let (host, port) = to.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" { &from.host } else { host };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let slot = slot.parse().ok().filter(|&slot| usize::from(slot) < SLOTS)?;
    (!host.is_empty()).then_some((slot, Address::new(host, port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        let cmd = |words: &str| {
            let mut cmd = Cmd::new();
            for word in words.split(' ') {
                cmd.arg(word);
            }
            cmd
        };
        for (words, key) in [
            ("GET k", Some("k")),
            ("SET {t}a v PX 5", Some("t")),
            ("EVALSHA sha 2 k l v", Some("k")),
            ("EVAL source 1 k", Some("k")),
            ("EVALSHA sha 0 v", None),
            ("PING", None),
        ] {
            assert_eq!(slot_of(&cmd(words)), key.map(|key| slot(key.as_bytes())), "{words}");
        }
    }

    #[test]
    fn a_redirection_names_a_slot_and_a_node() {
        let from = Address::new("here", 1);
        for (message, host, port) in [
            ("3999 10.0.0.1:6381", "10.0.0.1", 6381),
            ("3999 :6381", "here", 6381),
            ("3999 ?:6381", "here", 6381),
            ("3999 ::1:6381", "::1", 6381),
            ("3999 node.example:6381", "node.example", 6381),
        ] {
            let expected = Some((3999, Address::new(host, port)));
            assert_eq!(redirection(message, &from), expected, "{message}");
        }
        for message in ["", "3999", "x h:1", "3999 h", "3999 h:x", "16384 h:1", "3999 []:1"] {
            assert_eq!(redirection(message, &from), None, "{message}");
        }
    }
}
