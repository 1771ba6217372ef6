//! A lock that may be ours without our knowing: freed in the background.

use std::time::Duration;

use tokio::time::Instant;

use crate::lock::{LockToken, Locks};

/// The wait between two tries to free it.
const RETRY: Duration = Duration::from_millis(200);

/// Unless disarmed, dropping it releases the token in the background, until that is answered or the
/// lease has ended by itself.
pub(super) struct Pending(Option<Release>);

struct Release {
    locks: Locks,
    key: Box<str>,
    token: LockToken,
    lease: Duration,
}

impl Pending {
    pub(super) fn new(locks: &Locks, key: &str, token: &LockToken, lease: Duration) -> Self {
        Self(Some(Release { locks: locks.clone(), key: key.into(), token: token.clone(), lease }))
    }

    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Outside a runtime nothing can be sent: the lease ends by itself.
        if let Some(release) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(release.run());
        }
    }
}

impl Release {
    async fn run(self) {
        let began = Instant::now();
        while let Err(error) = self.locks.release(&self.key, &self.token).await {
            if began.elapsed() >= self.lease {
                tracing::warn!(%error, "a lock could not be freed and ended with its lease");
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
