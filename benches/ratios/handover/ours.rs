//! How this crate's locks are waited for.

use auth_adapter_redis::guard::Acquisition;
use auth_adapter_redis::testing::Server;
use auth_adapter_redis::{LockGuard, Locks, lock, script};

use super::race::{Contender, KEY, LEASE, MAX_WAIT};
use crate::support::handle;

/// Guards without renewal or fence.
pub struct Ours(Locks);

impl Contender for Ours {
    type Held = LockGuard;

    async fn connect(server: &Server) -> Self {
        let redis = handle(server).await;
        script::library().load(&redis).await.unwrap();
        Self(Locks::new(redis))
    }

    async fn acquire(&mut self) -> LockGuard {
        match self.0.acquire(KEY, LEASE, MAX_WAIT).await.unwrap() {
            Acquisition::Acquired(guard) => guard,
            held => panic!("{held:?}"),
        }
    }

    async fn release(&mut self, guard: LockGuard) {
        assert_eq!(guard.release().await.unwrap(), lock::Release::Freed);
    }

    /// A script that takes the lock, or a place in its queue.
    fn is_try(words: &[&str]) -> bool {
        let takes = |name: &str| name.starts_with("lock/acquire") || name.starts_with("lock/join");
        let mut scripts = script::library().iter().filter(|script| takes(script.name()));
        words[0].eq_ignore_ascii_case("EVALSHA") && scripts.any(|script| script.sha() == words[1])
    }
}
