//! A lock that may be ours without our knowing: freed in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::{Error, ServerErrorKind};
use crate::lock::{Leases, LockToken};

/// The wait between two tries to free a lock.
const RETRY: Duration = Duration::from_millis(200);
/// How many locks one adapter frees in the background at a time.
const AT_ONCE: usize = 256;

/// The locks that an adapter frees in the background, a bounded number of them.
#[derive(Debug, Clone)]
pub(super) struct Background(Arc<Semaphore>);

impl Default for Background {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Unless disarmed, dropping it releases the token in the background, until that is answered or the
/// lease has ended by itself.
pub(super) struct Pending(Option<Release>);

struct Release {
    background: Background,
    leases: Leases,
    key: Box<str>,
    token: LockToken,
    lease: Duration,
}

impl Background {
    pub(super) fn pending(
        &self,
        leases: &Leases,
        key: &str,
        token: &LockToken,
        lease: Duration,
    ) -> Pending {
        Pending(Some(Release {
            background: self.clone(),
            leases: leases.clone(),
            key: key.into(),
            token: token.clone(),
            lease,
        }))
    }
}

impl Pending {
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(release) = self.0.take() else { return };
        // Outside a runtime nothing can be sent.
        let runtime = tokio::runtime::Handle::try_current().ok();
        let permit = release.background.0.clone().try_acquire_owned().ok();
        match (runtime, permit) {
            (Some(runtime), Some(permit)) => drop(runtime.spawn(release.run(permit))),
            _ => tracing::warn!("a lock that may be held is left to end with its lease"),
        }
    }
}

impl Release {
    async fn run(self, _permit: OwnedSemaphorePermit) {
        let began = Instant::now();
        while let Err(error) = self.leases.release(&self.key, &self.token).await {
            if is_final(&error) || began.elapsed() >= self.lease {
                tracing::warn!(%error, "a lock could not be freed and ends with its lease");
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Whether trying again would end in the same way for as long as a lease lasts. A node that is away, a
/// slot that moves or replicas that are missing come to an end.
fn is_final(error: &Error) -> bool {
    let final_kinds = [ServerErrorKind::WrongType, ServerErrorKind::NoPermission];
    matches!(error, Error::InvalidInput { .. })
        || error.server_kind().is_some_and(|kind| final_kinds.contains(&kind))
}
