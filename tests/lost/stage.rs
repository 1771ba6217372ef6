//! A server behind a proxy, and worlds on it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use auth_adapter_redis::Redis;
use auth_adapter_redis::key::Layout;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::Proxy;

use super::operation::{Noun, Operation};
use super::support::{HANG, quick};
use super::world::World;
use super::{Own, own_behind_proxy};

pub struct Stage {
    pub own: Arc<Own>,
    /// The handle whose calls are broken.
    pub caller: Redis,
    pub direct: Redis,
    worlds: Cell<usize>,
}

/// What comes of an operation that nothing breaks.
pub struct Sound {
    pub before: String,
    /// The states after it was executed once, twice and three times.
    after: Vec<String>,
    pub undone: String,
}

impl Stage {
    /// With this deadline for the calls that are broken.
    pub async fn new(deadline: Duration) -> Self {
        let own = Arc::new(own_behind_proxy());
        let caller = quick(own.url()).call_deadline(deadline).build().unwrap();
        let direct = quick(own.unix_url()).call_deadline(HANG).build().unwrap();
        // Keys are spelt alike, whichever way they are sent.
        let direct = match caller.is_cluster() {
            true => direct.with_layout(Layout::HashTagged),
            false => direct,
        };
        caller.connected().await;
        direct.connected().await;
        let stage = Self { own, caller, direct, worlds: Cell::new(0) };
        stage.load().await;
        stage
    }

    /// Has the server know all scripts.
    pub async fn load(&self) {
        library().load(&self.direct).await.unwrap();
    }

    pub fn proxy(&self) -> &Proxy {
        self.own.proxy()
    }

    /// A world in which everything is there that the operation needs.
    pub async fn prepared<N: Noun>(&self, operation: &Operation) -> N {
        self.world(&self.caller, operation).await
    }

    async fn world<N: Noun>(&self, caller: &Redis, operation: &Operation) -> N {
        self.worlds.set(self.worlds.get() + 1);
        let prefix = format!("{}:", self.worlds.get());
        let in_it = |redis: &Redis| redis.clone().with_prefix(&prefix).unwrap();
        let noun = N::new(World::new(&self.own, in_it(caller), in_it(&self.direct)));
        noun.prepare(operation).await;
        noun
    }

    /// Calls it where nothing is broken.
    pub async fn sound<N: Noun>(&self, operation: &Operation) -> Sound {
        let noun: N = self.world(&self.direct, operation).await;
        let (before, mut after) = (noun.state(), Vec::new());
        let executions = if operation.counts() { 3 } else { 1 };
        for says in &operation.says[..executions] {
            assert_eq!(noun.call(operation).await.unwrap(), *says, "{operation}");
            after.push(noun.state());
        }
        assert_eq!(before != after[0], operation.writes, "{operation} of {before}");
        noun.undo().await;
        Sound { before, after, undone: noun.state() }
    }

    /// Calls it where nothing is broken but that the others have been there before.
    pub async fn sound_after_others<N: Noun>(&self, operation: &Operation) {
        let noun: N = self.world(&self.direct, operation).await;
        noun.meddle(operation).await;
        let before = noun.state();
        noun.call(operation).await.unwrap();
        assert_ne!(before, noun.state(), "{operation} shows after what others did");
    }
}

impl Sound {
    /// The states that are as the `REPEAT` line says after at most so many executions.
    #[track_caller]
    pub fn check<N: Noun>(&self, operation: &Operation, noun: &N, executions: usize) {
        let state = noun.state();
        let may = &self.after[..executions.min(self.after.len())];
        assert!(may.contains(&state), "{operation}: {state} is none of {may:?}");
    }

    pub fn once(&self) -> &str {
        &self.after[0]
    }
}
