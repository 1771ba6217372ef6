//! The rules once more, in Rust and in a few lines, against what the server says to any order of calls.

use std::time::Duration;

use auth_adapter_redis::RefreshToken;
use auth_adapter_redis::key::Timestamp;
use auth_adapter_redis::refresh::{Lookup, Reuse, Rotate};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::stage::{Stage, response};

#[derive(Debug, Clone)]
enum Step {
    /// Any token that ever was.
    Present(prop::sample::Index),
    /// The call that rotated it, once more.
    Repeat(prop::sample::Index),
    /// So many seconds pass. No sum of a few of them comes near a window from below.
    Age(u64),
}

/// The tokens of a family, the last of them current.
struct Family {
    tokens: Vec<RefreshToken>,
    window: u64,
    since_rotation: u64,
    ended_by: Option<(usize, Reuse)>,
}

impl Family {
    fn lookup(&self, at: usize) -> Lookup {
        match self.tokens.len() - 1 - at {
            _ if self.ended_by.is_some() => Lookup::Revoked,
            0 => Lookup::Current,
            1 if self.since_rotation < self.window => Lookup::Replay,
            2.. if self.since_rotation < self.window.max(5) => Lookup::Superseded,
            _ => Lookup::Spent,
        }
    }

    /// What a rotation of this token gives, where its next one is new.
    fn rotate(&mut self, at: usize, next: &RefreshToken, expires: Timestamp) -> Rotate {
        match self.lookup(at) {
            Lookup::Current => {
                self.tokens.push(next.clone());
                self.since_rotation = 0;
                Rotate::Rotated { expires }
            }
            Lookup::Replay => Rotate::Replayed { response: response(self.tokens.last().unwrap()) },
            Lookup::Superseded => Rotate::Superseded,
            Lookup::Spent => {
                let is_previous = at + 2 == self.tokens.len();
                let class = if is_previous { Reuse::Previous } else { Reuse::Older };
                self.ended_by = Some((at, class));
                Rotate::Reused { class }
            }
            _ => match self.ended_by {
                Some((by, class)) if by == at => Rotate::Reused { class },
                _ => Rotate::Revoked,
            },
        }
    }
}

async fn tell(window: u64, steps: Vec<Step>) {
    let stage = Stage::new().await.with_window(Duration::from_secs(window));
    let first = stage.first().await;
    let mut family = Family { tokens: vec![first], window, since_rotation: 0, ended_by: None };
    let expires = stage.expiry();
    for step in &steps {
        let (at, repeat) = match step {
            Step::Present(index) => (index.index(family.tokens.len()), false),
            Step::Repeat(index) => (index.index(family.tokens.len()), true),
            Step::Age(_) if family.ended_by.is_some() => continue,
            Step::Age(by) => {
                stage.age(Duration::from_secs(*by));
                family.since_rotation += by;
                continue;
            }
        };
        let token = family.tokens[at].clone();
        let found = stage.tokens.lookup(&token).await.unwrap();
        assert_eq!(found, family.lookup(at), "{at} in {steps:?}");
        let again = family.tokens.get(at + 1).filter(|_| repeat).cloned();
        let next = again.clone().unwrap_or_else(|| token.next().unwrap());
        let expected = match again {
            Some(_) if at + 2 == family.tokens.len() && family.ended_by.is_none() => {
                Rotate::Rotated { expires }
            }
            _ => family.rotate(at, &next, expires),
        };
        assert_eq!(stage.rotate(&token, &next).await, expected, "{at} in {steps:?}");
    }
    let expected = if family.ended_by.is_some() { "revoked" } else { "active" };
    assert_eq!(stage.check().await, expected, "{steps:?}");
}

#[test]
fn every_outcome_is_what_the_rules_say_in_whatever_order() {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        5 => index().prop_map(Step::Present),
        2 => index().prop_map(Step::Repeat),
        2 => prop::sample::select(vec![2, 11, 47]).prop_map(Step::Age),
    ];
    let stories = (prop::sample::select(vec![0, 3, 30]), prop::collection::vec(step, 1..12));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { failure_persistence: None, ..Config::default() };
    let told = TestRunner::new(config).run(&stories, |(window, steps)| {
        runtime.block_on(tell(window, steps));
        Ok(())
    });
    told.unwrap();
}
