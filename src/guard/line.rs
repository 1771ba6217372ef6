//! Who waits for one lock in this process: a line, of which only the first has a place on the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock::Moment;
use crate::connection::Ear;
use crate::error::Result;
use crate::lock::{Channel, Granted, Leases, Told};

/// For so long after the last wait the subscription is kept for the next one, and up to twice that.
const KEPT: Duration = Duration::from_secs(10);

/// The lines for all locks that are waited for, or were a moment ago.
#[derive(Default)]
pub(super) struct Lines(Arc<Mutex<Table>>);

type Table = HashMap<Arc<str>, Arc<Line>>;

/// The line for one lock. Those in it come to its front in the order in which they came.
#[derive(Default)]
pub(super) struct Line {
    front: Arc<tokio::sync::Mutex<Front>>,
    is_used: AtomicBool,
}

/// What the first in the line hears by.
#[derive(Default)]
struct Front {
    listening: Option<(Channel, Ear)>,
    is_refused: bool,
}

/// The place at the front of a line, until it is dropped.
pub(super) struct Turn(OwnedMutexGuard<Front>);

impl Lines {
    /// The line for this lock, if there is one.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Line>> {
        self.table().get(key).cloned()
    }

    /// The line for this lock. A new one ends by itself, on the present runtime, when it is not used.
    pub(super) fn enter(&self, key: &Arc<str>) -> Arc<Line> {
        let mut table = self.table();
        if let Some(line) = table.get(key) {
            return Arc::clone(line);
        }
        let line = Arc::<Line>::default();
        table.insert(Arc::clone(key), Arc::clone(&line));
        tokio::spawn(end(Arc::downgrade(&self.0), Arc::clone(key)));
        line
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.0)
    }
}

/// Ends a line that was not used for some time.
async fn end(lines: Weak<Mutex<Table>>, key: Arc<str>) {
    loop {
        sleep(KEPT).await;
        let Some(lines) = lines.upgrade() else { return };
        let mut table = locked(&lines);
        let Some(line) = table.get(&key) else { return };
        let is_used = line.is_used.swap(false, Ordering::Relaxed) || Arc::strong_count(line) > 1;
        if !is_used {
            table.remove(&key);
            return;
        }
    }
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// Waits to be at the front; not longer than this.
    pub(super) async fn turn(&self, ends: Instant) -> Option<Turn> {
        self.is_used.store(true, Ordering::Relaxed);
        let front = timeout_at(ends, Arc::clone(&self.front).lock_owned());
        front.await.ok().map(Turn)
    }
}

impl Turn {
    /// How a grant of this lock is heard of from now on. Subscribes if need be: one round trip.
    pub(super) async fn told(&mut self, leases: &Leases, key: &str) -> Result<Told> {
        let front = &mut *self.0;
        let redis = leases.redis();
        if let Some((channel, ear)) = &front.listening
            && redis.push(key).is_some_and(|push| ear.is_on(&push))
        {
            return Ok(told(*channel, ear));
        }
        front.listening = None;
        let Some(push) = redis.push(key) else { return Ok(Told::Never) };
        let channel = Channel::new()?;
        match push.listen(leases.channel(key, channel), redis.deadline()).await {
            Ok(ear) => {
                front.is_refused = false;
                let (_, ear) = front.listening.insert((channel, ear));
                Ok(told(channel, ear))
            }
            Err(error) => {
                if !front.is_refused {
                    tracing::warn!(%error, "SUBSCRIBE failed or was refused: a lock that is waited for is asked for now and then");
                }
                front.is_refused = true;
                Ok(Told::Never)
            }
        }
    }

    /// The next grant that is heard of, and when; nothing once the connection is lost. Where nothing can
    /// be heard it waits for ever.
    pub(super) async fn granted(&mut self) -> Option<(Granted, Moment)> {
        let Some((_, ear)) = &mut self.0.listening else {
            return std::future::pending().await;
        };
        loop {
            let heard = ear.hear().await?;
            if let Some(granted) = Granted::read(&heard.message) {
                return Some((granted, heard.at));
            }
        }
    }

    /// Something was not heard of.
    pub(super) fn suspect(&self) {
        if let Some((_, ear)) = &self.0.listening {
            ear.suspect();
        }
    }
}

fn told(channel: Channel, ear: &Ear) -> Told {
    match ear.is_sharded() {
        true => Told::Sharded(channel),
        false => Told::Published(channel),
    }
}
