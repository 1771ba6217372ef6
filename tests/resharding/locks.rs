//! A lock that tasks take from each other, by all four scripts.

use std::sync::atomic::Ordering;

use auth_adapter_redis::lock::{Acquire, Extend, Leases, LockToken, Release};

use crate::LONG;
use crate::load::{Expected, Load};

pub struct LockTask {
    lock: String,
    at: usize,
    owner: String,
}

impl LockTask {
    /// The tasks with one tag share a lock.
    pub fn new(tag: &str, at: usize) -> Self {
        Self { lock: format!("{{{tag}}}:lock"), at, owner: format!("{tag}-{at}") }
    }

    pub async fn run(self, load: &Load) -> Result<Expected, String> {
        let locks =
            load.locks.clone().with_owner(&self.owner).map_err(|error| error.to_string())?;
        loop {
            let ends = load.ends();
            let token = match load.single("acquire", locks.acquire(&self.lock, LONG)).await? {
                Acquire::Acquired(token) => Some(token),
                Acquire::Held { .. } => None,
                Acquire::Unknown { error, .. } => return Err(format!("acquire: {error}")),
            };
            if ends {
                // Whoever is the first by then keeps it.
                let holders = token.map(|_| (self.lock, vec![self.owner]));
                return Ok(Expected {
                    holders: holders.into_iter().collect(),
                    ..Expected::default()
                });
            }
            match token {
                Some(token) => self.hold(load, &locks, &token).await?,
                None => {
                    load.single("peek", locks.peek(&self.lock)).await?;
                }
            }
        }
    }

    async fn hold(&self, load: &Load, locks: &Leases, token: &LockToken) -> Result<(), String> {
        load.holders.enter(&self.lock, self.at, false)?;
        let extended = load.single("extend", locks.extend(&self.lock, token, LONG)).await?;
        let info = load.single("peek", locks.peek(&self.lock)).await?;
        let owner = info.and_then(|info| info.owner);
        load.holders.leave(&self.lock, self.at);
        let release = || load.single("release", locks.release(&self.lock, token));
        let released = [release().await?, release().await?];
        if released[0] == Release::NotOurs {
            load.twice.fetch_add(1, Ordering::Relaxed);
        }
        let ours = matches!(extended, Extend::Extended { .. });
        let ours = ours && owner.as_ref() == Some(&self.owner);
        match ours && released[1] == Release::NotOurs {
            true => Ok(()),
            false => Err(format!("{}: {extended:?}, {owner:?}, {released:?}", self.owner)),
        }
    }
}
