//! Keeping up with a cluster: who its primaries are, and which slots they serve.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::Value;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::address::Address;
use super::super::circuit::{Breaker, Panel};
use super::super::deadline::Deadline;
use super::super::dial::{ask, without_timers};
use super::super::link::{Link, Request, Sent};
use super::super::target::{Manner, Target, Where};
use super::super::url::ServerAddress;
use super::Node;
use super::map::{Range, SlotMap, parse};

/// While something is amiss the cluster is asked this many times before the wait doubles: a failover
/// takes a second or two, and its end should not go unnoticed for as long again.
const ROUNDS: u32 = 256;

/// How long a guest stays that no redirection has named again, beyond a call to it.
const GUEST_STAYS: Duration = Duration::from_secs(5);

/// How long one that is asked for the slots may take before the next is asked beside it.
const HEAD_START: Duration = Duration::from_millis(50);

/// What is known of the cluster.
pub(super) enum View {
    /// The first search is under way: callers wait, within their deadlines.
    Unknown,
    Known(Arc<SlotMap>),
    /// No node answered, for this reason: callers fail at once, and the search goes on.
    Unreachable(Arc<str>),
}

pub(super) struct Discovery {
    seeds: Vec<Address>,
    manner: Arc<Manner>,
    /// Where all nodes are kept connected, also those that a call on another one has heard of.
    runtime: Handle,
    /// What is seen while no node is known.
    lost: Mutex<Option<Breaker>>,
    view: watch::Sender<View>,
    /// All that are in use, also by a call that went to one before it left the map.
    nodes: Mutex<Vec<Weak<Node>>>,
    /// Notified also by a link whose connection is lost.
    stale: Arc<Notify>,
    /// Whom to ask first: a redirection named it.
    hint: Mutex<Option<Address>>,
    /// Whom to begin with, so that a node that is behind is not asked twice in a row.
    turn: AtomicUsize,
}

impl Discovery {
    pub(super) fn new(seeds: Vec<Address>, manner: Arc<Manner>, runtime: Handle) -> Self {
        Self {
            seeds,
            manner,
            runtime,
            lost: Mutex::default(),
            view: watch::Sender::new(View::Unknown),
            nodes: Mutex::default(),
            stale: Arc::default(),
            hint: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn name(&self) -> String {
        let seeds: Vec<_> = self.seeds.iter().map(ToString::to_string).collect();
        format!("the cluster of {}", seeds.join(", "))
    }

    /// How long an attempt to connect may take.
    pub(super) fn patience(&self) -> Duration {
        self.manner.connect_timeout
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn panel(&self) -> &Panel {
        &self.manner.panel
    }

    pub(super) fn view(&self) -> watch::Ref<'_, View> {
        self.view.borrow()
    }

    /// What is known may be out of date.
    pub(super) fn stale(&self, hint: Option<&Address>) {
        if let Some(hint) = hint {
            *self.hint.lock().unwrap_or_else(PoisonError::into_inner) = Some(hint.clone());
        }
        self.stale.notify_one();
    }

    /// The node at an address that a redirection named.
    pub(super) fn node(&self, address: &Address) -> Arc<Node> {
        let known = match &*self.view() {
            View::Known(map) => map.node(address),
            _ => None,
        };
        let node = known.unwrap_or_else(|| self.correct(address, |_, _| {}));
        node.named_now();
        node
    }

    /// The node that serves a slot from now on.
    pub(super) fn moved(&self, slot: u16, address: &Address) -> Arc<Node> {
        let node = self.correct(address, |map, node| map.assign(slot, node));
        self.stale(Some(address));
        node
    }

    /// Changes what is known of the node at an address, and gives that.
    fn correct(
        &self,
        address: &Address,
        change: impl FnOnce(&mut SlotMap, &Arc<Node>),
    ) -> Arc<Node> {
        let mut found = None;
        self.view.send_modify(|view| {
            let View::Known(known) = view else { return };
            let mut map = SlotMap::clone(known);
            let node = map.node(address).unwrap_or_else(|| {
                let node = self.open(address.clone());
                map.add_guest(Arc::clone(&node));
                // From now on one looks whether it is named again.
                self.stale.notify_one();
                node
            });
            change(&mut map, &node);
            found = Some(node);
            *known = Arc::new(map);
        });
        found.unwrap_or_else(|| self.open(address.clone()))
    }

    /// The one node at an address: a second link would not end what the first has on its way.
    fn open(&self, address: Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node| node.strong_count() > 0);
        let known = nodes.iter().filter_map(Weak::upgrade).find(|node| node.address == address);
        known.unwrap_or_else(|| {
            let place = Where::At(ServerAddress::Tcp(address.clone()));
            let target = Target::new(place, Arc::clone(&self.manner));
            let link = Link::open(target, Arc::clone(&self.stale), &self.runtime);
            let node = Arc::new(Node { address, link, named: Mutex::new(Instant::now()) });
            nodes.push(Arc::downgrade(&node));
            node
        })
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(&*self.view(), View::Known(map) if map.is_settled())
    }

    /// Waits for the outcome of the first search.
    pub(super) async fn told(&self) {
        let told = |view: &View| !matches!(view, View::Unknown);
        // It cannot fail, since the sender is here.
        let mut view = self.view.subscribe();
        let _told = view.wait_for(told).await;
    }

    /// Waits until every slot has a primary and all of these are connected.
    pub(super) async fn settled(&self) {
        let mut view = self.view.subscribe();
        loop {
            let map = match &*view.borrow_and_update() {
                View::Known(map) => Some(Arc::clone(map)),
                _ => None,
            };
            let connected = async {
                let Some(map) = map.filter(|map| map.is_complete()) else { return pending().await };
                // One may be lost again while another is waited for.
                while !map.is_settled() && !map.has_ended() {
                    for node in map.primaries() {
                        node.link.connected().await;
                    }
                }
            };
            tokio::select! {
                () = connected => return,
                changed = view.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Asks whenever something is amiss, for as long as it is polled.
    pub(super) async fn run(self: Arc<Self>) {
        let backoff = self.manner.backoff;
        let mut rounds: u32 = 0;
        loop {
            match self.ask().await {
                Ok(ranges) => self.publish(ranges),
                Err(why) => self.unreachable(&why),
            }
            if self.is_settled() {
                rounds = 0;
                tokio::select! {
                    () = self.stale.notified() => {}
                    () = self.guest_leaves() => {}
                }
            } else {
                rounds = rounds.saturating_add(1);
            }
            // Redirections come in crowds, and each has corrected what it was about.
            sleep(backoff.wait(rounds / ROUNDS)).await;
        }
    }

    /// Waits until a guest may go, if there is one: nobody asks about it any more.
    async fn guest_leaves(&self) {
        let next = match &*self.view() {
            View::Known(map) => map.guests().iter().map(|guest| self.leaves_at(guest)).min(),
            _ => None,
        };
        match next {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }

    fn leaves_at(&self, guest: &Node) -> Instant {
        guest.named_at() + self.manner.ping_timeout + GUEST_STAYS
    }

    /// Asks now.
    pub(super) async fn refresh(&self) -> Result<(), String> {
        self.publish(self.ask().await?);
        Ok(())
    }

    fn publish(&self, ranges: Vec<Range>) {
        self.view.send_if_modified(|view| {
            let before = match view {
                View::Known(map) => Some(Arc::clone(map)),
                _ => None,
            };
            let mut map = SlotMap::new(ranges, |address| {
                let known = before.as_ref().and_then(|map| map.node(&address));
                known.unwrap_or_else(|| self.open(address))
            });
            // The state of its link is to outlast the doubt that a call on it raises.
            for guest in before.iter().flat_map(|map| map.guests()) {
                if Instant::now() < self.leaves_at(guest) && map.node(&guest.address).is_none() {
                    map.add_guest(Arc::clone(guest));
                }
            }
            let changed = before.is_none_or(|before| !before.is_same(&map));
            if changed {
                drop(self.lost().take());
                tracing::info!(
                    target = self.name(),
                    primaries = map.primaries().len(),
                    "cluster known"
                );
                *view = View::Known(Arc::new(map));
            }
            changed
        });
    }

    /// A call waited for the first search and was cut off: others need not wait as well. One that waited
    /// a little says little.
    pub(super) fn unfound(&self, deadline: Deadline) {
        let waited = deadline.started.elapsed().min(deadline.limit());
        if waited * 2 >= self.manner.ping_timeout {
            self.unreachable(&format!("no node answered within {waited:?}"));
        }
    }

    fn lost(&self) -> MutexGuard<'_, Option<Breaker>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreachable(&self, why: &str) {
        self.view.send_if_modified(|view| match view {
            View::Known(_) => false,
            View::Unknown => {
                tracing::warn!(target = self.name(), why, "cannot find the cluster");
                let breaker = self.manner.panel.add(&self.name());
                breaker.open(&why.into());
                *self.lost() = Some(breaker);
                *view = View::Unreachable(why.into());
                true
            }
            View::Unreachable(known) => {
                *known = why.into();
                false
            }
        });
    }

    /// The slots, as the first node tells them that answers.
    async fn ask(&self) -> Result<Vec<Range>, String> {
        let hint = self.hint.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut known, replicas) = match &*self.view() {
            View::Known(map) => (map.primaries().to_vec(), map.replicas().to_vec()),
            _ => (Vec::new(), Vec::new()),
        };
        if !known.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % known.len();
            known.rotate_left(turn);
        }
        known.sort_by_key(|node| (Some(&node.address) != hint.as_ref(), !node.link.is_up()));
        let mut refusals = Vec::new();
        let mut asked = BTreeSet::new();
        for node in known.iter().filter(|node| node.link.is_up()) {
            asked.insert(node.address.clone());
            match self.ask_node(node).await {
                Ok(ranges) => return Ok(ranges),
                Err(why) => refusals.push(format!("{}: {why}", node.address)),
            }
        }
        let away = known.iter().map(|node| node.address.clone());
        let strangers = hint.into_iter().chain(away).chain(replicas).chain(self.seeds.clone());
        let strangers = strangers.filter(|address| asked.insert(address.clone()));
        match self.ask_strangers(strangers, &mut refusals).await {
            Some(ranges) => Ok(ranges),
            None => Err(format!("no node tells the slots: {}", refusals.join("; "))),
        }
    }

    /// The slots, as the first of these tells them that answers. Each is given a head start, which ends
    /// where one fails.
    async fn ask_strangers(
        &self,
        addresses: impl Iterator<Item = Address>,
        refusals: &mut Vec<String>,
    ) -> Option<Vec<Range>> {
        let mut addresses = addresses.fuse();
        let mut asked = JoinSet::new();
        loop {
            let next = addresses.next();
            let is_last = next.is_none();
            if let Some(address) = next {
                asked.spawn(ask_stranger(address, Arc::clone(&self.manner)));
            }
            let answer = match is_last {
                false => timeout(HEAD_START, asked.join_next()).await,
                true => Ok(asked.join_next().await),
            };
            match answer {
                Ok(Some(Ok(Ok(ranges)))) => return Some(ranges),
                Ok(Some(Ok(Err(why)))) => refusals.push(why),
                Ok(Some(Err(ended))) => refusals.push(ended.to_string()),
                Ok(None) => return None,
                Err(_) => {}
            }
        }
    }

    async fn ask_node(&self, node: &Node) -> Result<Vec<Range>, String> {
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        let mut sent = Sent::default();
        let deadline = Deadline::after(self.manner.ping_timeout);
        let call = node.link.call(Request::Plain(&slots), deadline, &mut sent);
        let reply = timeout(self.manner.ping_timeout, call).await.map_err(|_| {
            node.link.unanswered(&sent, deadline);
            "no answer in time".to_owned()
        })?;
        read(&reply.map_err(|error| error.to_string())?, &node.address)
    }
}

async fn ask_stranger(address: Address, manner: Arc<Manner>) -> Result<Vec<Range>, String> {
    let asked = async {
        let place = ServerAddress::Tcp(address.clone());
        let connection = manner.dialer.connect(&place, without_timers()).await?;
        read(&ask(&connection, &["CLUSTER", "SLOTS"]).await?, &address)
    };
    let answer = timeout(manner.connect_timeout, asked).await;
    let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    answer.map_err(|why| format!("{address}: {why}"))
}

fn read(reply: &Value, asked: &Address) -> Result<Vec<Range>, String> {
    match parse(reply, asked) {
        Some(ranges) if ranges.iter().any(|range| !range.nodes.is_empty()) => Ok(ranges),
        Some(_) => Err("it serves no slot and knows nobody who does".to_owned()),
        None => Err("its CLUSTER SLOTS is not understood".to_owned()),
    }
}
