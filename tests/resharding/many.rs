//! Several keys at one instant, of one slot or of each.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use auth_adapter_redis::{Error, ServerErrorKind};

use crate::load::{Expected, Load};
use crate::{DEADLINE, LONG};

const KEYS: usize = 3;

/// Which call deletes them.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    OneSlot,
    BySlot,
}

/// What a call did to the keys of one slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Did {
    Deleted,
    Nothing,
    /// All or nothing, and nobody knows which.
    Unknown,
}

pub struct Many {
    tags: Vec<String>,
    way: Way,
    /// By tag: rises where nobody knows what became of the keys before.
    generations: Vec<usize>,
    doubtful: Vec<Vec<String>>,
}

impl Many {
    pub fn new(tags: &[String], way: Way) -> Self {
        Self { tags: tags.to_vec(), way, generations: vec![0; tags.len()], doubtful: Vec::new() }
    }

    pub async fn run(mut self, load: &Load) -> Result<Expected, String> {
        loop {
            let ends = load.ends();
            let groups: Vec<_> = (0..self.tags.len()).map(|tag| self.keys(tag)).collect();
            for key in groups.iter().flatten() {
                load.single("set", load.cache.set(key, key, LONG)).await?;
            }
            if ends {
                let values = groups.into_iter().flatten().map(|key| (key.clone(), key)).collect();
                return Ok(Expected { values, doubtful: self.doubtful, ..Expected::default() });
            }
            let did = self.delete(load, &groups).await?;
            for (tag, (keys, did)) in groups.into_iter().zip(did).enumerate() {
                if did == Did::Unknown {
                    self.generations[tag] += 1;
                    self.doubtful.push(keys);
                    continue;
                }
                for key in &keys {
                    let there = load.single("get", load.cache.get(key)).await?.is_some();
                    if there != (did == Did::Nothing) {
                        return Err(format!("{key}: there {there} after {did:?}"));
                    }
                }
            }
        }
    }

    fn keys(&self, tag: usize) -> Vec<String> {
        let (name, generation) = (&self.tags[tag], self.generations[tag]);
        let key = |at| format!("{{{name}}}:many:{:?}:{generation}:{at}", self.way);
        (0..KEYS).map(key).collect()
    }

    async fn delete(&self, load: &Load, groups: &[Vec<String>]) -> Result<Vec<Did>, String> {
        // An absent one in each slot is what a slot that moves cannot tell from one that has moved.
        let absent = self.tags.iter().map(|tag| format!("{{{tag}}}:absent"));
        let keys: Vec<_> = groups.iter().flatten().cloned().chain(absent).collect();
        let began = Instant::now();
        let outcome = match self.way {
            Way::OneSlot => load.hurried.delete_many(&keys).await,
            Way::BySlot => load.hurried.delete_many_by_slot(&keys).await,
        };
        let (deleted, failed) = match outcome {
            Ok(deleted) => (deleted, BTreeMap::new()),
            Err(Error::Partial { deleted, failed }) => {
                let slots = failed.into_iter();
                let failed = slots.map(|at| Ok((at.keys[0].clone(), did(load, &at.error)?)));
                (deleted, failed.collect::<Result<_, String>>()?)
            }
            Err(error) => (0, [(keys[0].clone(), did(load, &error)?)].into()),
        };
        if failed.values().any(|did| *did == Did::Nothing) && began.elapsed() < DEADLINE / 2 {
            return Err(format!("refused after no more than {:?}", began.elapsed()));
        }
        let of = |keys: &Vec<String>| failed.get(&keys[0]).copied().unwrap_or(Did::Deleted);
        let did: Vec<_> = groups.iter().map(of).collect();
        let expected = did.iter().filter(|did| **did == Did::Deleted).count() * KEYS;
        // The second execution of a script finds none of the keys of its slot.
        match usize::try_from(deleted).ok().and_then(|deleted| expected.checked_sub(deleted)) {
            Some(missing) if missing % KEYS == 0 => {
                load.twice.fetch_add((missing / KEYS) as u64, Ordering::Relaxed);
                Ok(did)
            }
            _ => Err(format!("{deleted} of {expected} deleted: {did:?}")),
        }
    }
}

/// What the error of a call on several keys says.
fn did(load: &Load, error: &Error) -> Result<Did, String> {
    let (counter, did) = match error {
        Error::Server(error) if error.kind == ServerErrorKind::TryAgain => {
            (&load.tried_again, Did::Nothing)
        }
        Error::Unanswered { .. } => (&load.late, Did::Unknown),
        Error::Unavailable(_) => (&load.late, Did::Nothing),
        error => return Err(format!("delete many: {error}")),
    };
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(did)
}
