//! Where a connection that is kept up leads, and how it is made.

use std::sync::Arc;
use std::time::Duration;

use redis::ProtocolVersion;

use super::backoff::Backoff;
use super::circuit::{Breaker, Panel};
use super::dial::Dialer;
use super::identity::Register;
use super::push::Board;
use super::sentinel::Sentinels;
use super::url::ServerAddress;

/// What a reconnect loop keeps a connection to, and how.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) place: Where,
    pub(super) manner: Arc<Manner>,
    /// Where what is pushed goes to, on a connection that is there for it.
    pub(super) hears: Option<Arc<Board>>,
}

/// How connections are made and kept, wherever to.
#[derive(Clone)]
pub(super) struct Manner {
    pub(super) dialer: Dialer,
    pub(super) client_name: Option<String>,
    pub(super) connect_timeout: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) backoff: Backoff,
    pub(super) panel: Arc<Panel>,
    pub(super) register: Arc<Register>,
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

    /// Its circuit, where calls go to it.
    pub(super) fn breaker(&self) -> Option<Breaker> {
        self.hears.is_none().then(|| self.manner.panel.add(&self.name()))
    }
}
