//! All locks of some names.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{Held, Leases};
use crate::error::{Error, Result, ServerErrorKind};
use crate::key::check_key;
use crate::observe;
use crate::scan::{Scan, literally};

/// How many locks are looked at at a time.
const AT_ONCE: usize = 64;

impl Leases {
    /// Who holds the locks whose keys begin so, in the order of their keys. For operators: the server
    /// looks at all keys that it has, a thousand in one round trip, and at each string whose key begins so
    /// in one more. On a cluster every primary is asked in turn, there and back, so that a slot that moves
    /// meanwhile is not missed.
    ///
    /// A lock that is taken or freed meanwhile may be in it or not. Locks of other software cannot be
    /// told from other strings, and are left out, as are keys that are no text.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a beginning that no key can have; [`Error::Config`] on a
    /// `ClusterConnection` of the caller's, which names no nodes; [`Error::Unavailable`] also where a slot
    /// of a cluster has no primary; else as [`peek`](Self::peek).
    pub async fn list(&self, beginning: &str) -> Result<Vec<(String, Held)>> {
        if !beginning.is_empty() {
            check_key(beginning)?;
        }
        let keys: Vec<String> = self.strings(beginning).await?.into_iter().collect();
        let mut locks = Vec::new();
        for keys in keys.chunks(AT_ONCE) {
            let mut calls = JoinSet::new();
            for key in keys {
                let (leases, key) = (self.clone(), key.clone());
                calls.spawn(observe::inherit(async move { (leases.peek(&key).await, key) }));
            }
            for (held, key) in calls.join_all().await {
                match held {
                    Ok(Some(held)) if held.owner.is_some() => locks.push((key, held)),
                    Ok(_) => {}
                    // Something else has come to be there.
                    Err(error) if error.server_kind() == Some(ServerErrorKind::WrongType) => {}
                    // A key that no lock can have.
                    Err(Error::InvalidInput { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        locks.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(locks)
    }

    /// The keys of strings, without the handle's prefix.
    async fn strings(&self, beginning: &str) -> Result<BTreeSet<String>> {
        let mut scan = Scan::new(&self.redis, &format!("{}*", literally(beginning))).await?;
        let mut keys = BTreeSet::new();
        while let Some(page) = scan.next().await? {
            keys.extend(page);
        }
        Ok(keys)
    }
}
