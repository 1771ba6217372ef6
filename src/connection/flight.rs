//! One caller per script sends its source; the others wait for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// When a script was last brought to the server, under the lock that one bringer holds.
type Slot = Arc<tokio::sync::Mutex<Option<Instant>>>;

/// The scripts that this server was found without, by their hash. Touched only after a `NOSCRIPT`.
#[derive(Default)]
pub(crate) struct Flights {
    slots: Mutex<HashMap<&'static str, Slot>>,
}

/// What a caller that met `NOSCRIPT` does next.
pub(crate) enum Turn {
    /// Bring the source and say when it is [done](Lead::done). Dropping it, at any point, makes
    /// the next one in line the bringer.
    Lead(Lead),
    /// Another brought it after this call began: the script is there now.
    Follow,
}

pub(crate) struct Lead(OwnedMutexGuard<Option<Instant>>);

impl Lead {
    pub(crate) fn done(mut self) {
        *self.0 = Some(Instant::now());
    }
}

impl Flights {
    /// Waits for this caller's turn at a script. `started` is when its call began.
    pub(crate) async fn turn(&self, sha: &'static str, started: Instant) -> Turn {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(sha).or_default())
        };
        let brought = slot.lock_owned().await;
        match *brought {
            Some(at) if at >= started => Turn::Follow,
            _ => Turn::Lead(Lead(brought)),
        }
    }
}
