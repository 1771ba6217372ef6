//! All operations, and the columns in which their answers stand.

mod adapter;
mod locks;
mod sessions;
mod strings;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use auth_adapter_redis::script::library;

use crate::answer::Answer;
use crate::world::World;

pub struct Operation {
    pub name: &'static str,
    pub column: Column,
    /// How much longer than the call deadline it may take.
    pub waits: Duration,
    run: Run,
}

type Run = for<'w> fn(&'w World) -> Pin<Box<dyn Future<Output = Answer> + 'w>>;

/// Operations whose answers mostly are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// Of the adapter, one for each operation.
    Adapter,
    Reads,
    Degrades,
    Limits,
    Grows,
    Frees,
    Guards,
}

impl Column {
    pub const TYPED: [Self; 6] =
        [Self::Reads, Self::Degrades, Self::Limits, Self::Grows, Self::Frees, Self::Guards];

    pub fn title(self) -> &'static str {
        match self {
            Self::Adapter => "the adapter",
            Self::Reads => "reads",
            Self::Degrades => "that degrade",
            Self::Limits => "limits with a fallback",
            Self::Grows => "writes",
            Self::Frees => "deletes, releases, revokes",
            Self::Guards => "locks with guards",
        }
    }
}

impl Operation {
    fn new(name: &'static str, column: Column, run: Run) -> Self {
        Self { name, column, waits: Duration::ZERO, run }
    }

    fn waiting(mut self, waits: Duration) -> Self {
        self.waits = waits;
        self
    }

    pub async fn call(&self, world: &World) -> Answer {
        (self.run)(world).await
    }
}

/// In the order in which they are called: what a late execution would show comes first, what leaves work in the background comes last.
pub fn all() -> Vec<Operation> {
    let parts = [
        vec![strings::set()],
        adapter::reads(),
        strings::all(),
        locks::by_token(),
        sessions::all(),
        locks::with_guards(),
        adapter::writes(),
        vec![locks::in_line()],
    ];
    parts.into_iter().flatten().collect()
}

/// An outcome in a word: those of the pattern that it fits, or that of the error.
macro_rules! answer {
    ($outcome:expr, $($pattern:pat => $word:expr),+ $(,)?) => {{
        use $crate::answer::Answer::*;
        match $outcome {
            Err(error) => $crate::answer::Answer::of(error),
            $(Ok($pattern) => $word,)+
            #[allow(unreachable_patterns, reason = "some name all outcomes")]
            Ok(other) => panic!("{other:?}"),
        }
    }};
}
use answer;

#[test]
fn every_operation_is_called_once() {
    let all = all();
    let names: BTreeSet<_> = all.iter().map(|operation| operation.name).collect();
    assert_eq!(names.len(), all.len());
    for script in library().iter() {
        assert!(names.contains(script.name()), "{}", script.name());
    }
}
