//! Random histories of several clients on a real server, against a model.
//!
//! Clients check, confirm, fill, create, touch, list, revoke, issue and rotate as an auth server does.
//! Between any two of their steps anything else can happen: the database commits, a reply is lost, a
//! call is executed late or twice, time passes, the scripts or the user's hash are forgotten, the
//! server goes back to an old snapshot. After each step everything is looked at. A model says exactly
//! what each call is to answer, and laws, which know nothing of the model, say what must never be seen.
//!
//! `INTERLEAVINGS` says how many times as many histories as usual are told: `INTERLEAVINGS=50` takes
//! some minutes. What failed is told in its shortest form.

#[path = "interleavings/call.rs"]
mod call;
#[path = "interleavings/clients.rs"]
mod clients;
#[path = "interleavings/doctored.rs"]
mod doctored;
#[path = "interleavings/history.rs"]
mod history;
#[path = "interleavings/laws.rs"]
mod laws;
#[path = "interleavings/model.rs"]
mod model;
#[path = "interleavings/step.rs"]
mod step;
mod support;
#[path = "interleavings/tokens.rs"]
mod tokens;
#[path = "interleavings/world.rs"]
mod world;

use std::cell::{Cell, RefCell};

use auth_adapter_redis::script::library;
use auth_adapter_redis::{Redis, ScriptLibrary};
use call::Rules;
use history::{History, Index, Telling, Told};
use laws::{Broken, Law};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use step::{Step, brief_rules, history, history_with_a_snapshot, history_without_loss, rules};
use support::redis_on;
use support::target::{Kind, Own, kind, own};
use tokio::runtime::Runtime;
use world::Way;

/// How many times as many histories as usual.
fn times() -> u32 {
    match std::env::var("INTERLEAVINGS") {
        Ok(times) => times.parse().expect("INTERLEAVINGS is a number"),
        Err(_) => 1,
    }
}

fn telling(way: Way) -> Telling {
    let exactly = way != Way::Waited;
    Telling { way, scripts: library(), exactly, index: None, only: None }
}

/// Looks for what breaks a law with other scripts.
fn doctored(law: Law, scripts: &'static ScriptLibrary) -> Telling {
    Telling { scripts, exactly: false, only: Some(law), ..telling(Way::Rewritten) }
}

/// What histories there are to be told, and how many.
struct Histories {
    telling: Telling,
    database: bool,
    cases: u32,
}

/// Where the histories of one test happen.
struct Place {
    runtime: Runtime,
    server: Own,
    redis: Redis,
    /// How many there were.
    histories: Cell<u32>,
    sum: RefCell<Told>,
}

impl Place {
    fn new() -> Self {
        let (runtime, server) = (Runtime::new().unwrap(), own());
        let redis = runtime.block_on(redis_on(&server));
        Self { runtime, server, redis, histories: Cell::new(0), sum: RefCell::default() }
    }

    /// Tells one history, once more where the machine stood still.
    fn tell(&self, telling: Telling, rules: &Rules, steps: &[Step]) -> Result<(), Broken> {
        for _ in 0..20 {
            self.histories.set(self.histories.get() + 1);
            let prefix = format!("{}:", self.histories.get());
            let redis = self.redis.clone().with_prefix(&prefix).unwrap();
            let history = History::new(&self.server, redis, rules, telling);
            let told = self.runtime.block_on(history.tell(steps))?;
            let mut sum = self.sum.borrow_mut();
            sum.steps += told.steps;
            for (outcome, count) in told.outcomes {
                *sum.outcomes.entry(outcome).or_default() += count;
            }
            if !told.void {
                return Ok(());
            }
        }
        panic!("this machine stands still too often to tell what happens when");
    }
}

impl Histories {
    /// The shortest form of the first that breaks something.
    fn broken(&self, place: &Place) -> Option<String> {
        let rules = match self.telling.way {
            Way::Waited => brief_rules(self.database).boxed(),
            _ => rules(self.database).boxed(),
        };
        let steps = match self.telling.way {
            _ if self.telling.index.is_some() => history_without_loss(20..60).boxed(),
            Way::Restarted => history_with_a_snapshot(5..20).boxed(),
            _ => history(20..60).boxed(),
        };
        let config = Config {
            cases: self.cases,
            failure_persistence: None,
            max_shrink_iters: if self.telling.only.is_some() { 0 } else { 2_000 },
            ..Config::default()
        };
        let told = TestRunner::new(config).run(&(rules, steps), |(rules, steps)| {
            let told = place.tell(self.telling, &rules, &steps);
            told.map_err(|broken| TestCaseError::fail(format!("{:?}: {}", broken.law, broken.told)))
        });
        match told {
            Ok(()) => None,
            Err(TestError::Fail(why, shortest)) => Some(format!("{why}\n{shortest:#?}")),
            Err(other) => panic!("{other}"),
        }
    }
}

/// What seldom comes about, so that it is asked for where there are many histories alone.
const RARE: [(&str, &str); 6] = [
    ("refresh/revoke", "ended"),
    ("refresh/rotate", "older"),
    ("refresh/rotate", "superseded"),
    ("session/confirm", "expired"),
    ("session/create", "expired"),
    ("session/touch", "2"),
];

/// What the headers of the scripts tell of came about: a history that never gets there shows nothing.
fn all_outcomes_came(told: &Told, database: bool) {
    let of_one_alone = match database {
        true => vec![("session/check", "absent")],
        false => vec![
            ("session/check", "unknown"),
            ("session/create", "unfilled"),
            ("session/list", "unfilled"),
        ],
    };
    let scripts = library().iter().filter(|script| {
        let needs_one = ["session/confirm", "session/fill"].contains(&script.name());
        let of_a_user = ["session/", "refresh/"].iter().any(|noun| script.name().starts_with(noun));
        of_a_user && (database || !needs_one)
    });
    for script in scripts {
        for outcome in script.contract().gives.iter().flat_map(|given| &given.outcomes) {
            let name = (script.name(), &*outcome.value);
            let may_lack = times() < 20 && RARE.contains(&name);
            let came = told.outcomes.contains_key(&(name.0.to_owned(), name.1.to_owned()));
            assert!(came || may_lack || of_one_alone.contains(&name), "{name:?} in {told:#?}");
        }
    }
}

fn holds(way: Way, database: bool, cases: u32) -> Told {
    let place = Place::new();
    let histories = Histories { telling: telling(way), database, cases };
    if let Some(broken) = histories.broken(&place) {
        panic!("{broken}");
    }
    let sum = place.sum.into_inner();
    println!("{} histories, {} steps", place.histories.get(), sum.steps);
    sum
}

#[test]
fn with_a_database_every_history_keeps_the_laws_and_the_model() {
    let told = holds(Way::Rewritten, true, 150 * times());
    all_outcomes_came(&told, true);
}

#[test]
fn without_one_too() {
    let told = holds(Way::Rewritten, false, 150 * times());
    all_outcomes_came(&told, false);
}

/// Nothing is rewritten here, and the model does not judge: it cannot know what comes first.
#[test]
fn on_the_servers_own_clock_the_laws_are_kept() {
    for database in [true, false] {
        holds(Way::Waited, database, 20 * times());
    }
}

/// A cluster's node takes two seconds to serve again.
#[test]
fn a_server_that_is_killed_and_restarts_from_an_old_snapshot_keeps_them() {
    let cases = if matches!(kind(), Kind::Cluster) { 1 } else { 8 };
    for database in [true, false] {
        holds(Way::Restarted, database, cases * times());
    }
}

/// What the laws find where scripts are others. What fails otherwise, as a call may, is not found.
fn found(database: bool, cases: u32, telling: Telling) -> Option<String> {
    let place = Place::new();
    let found = Histories { telling, database, cases }.broken(&place);
    println!("after {} histories: {found:?}", place.histories.get());
    let law = format!("{:?}: ", telling.only.expect("a law is looked for"));
    assert!(found.as_ref().is_none_or(|why| why.starts_with(&law)), "{found:?}");
    found
}

#[test]
fn without_the_version_a_late_confirm_brings_a_revoked_session_back() {
    let telling = doctored(Law::RevokedStaysRevoked, doctored::without_the_version());
    assert!(found(true, 5_000, telling).is_some());
}

#[test]
fn without_tombstones_a_late_create_brings_a_revoked_session_back() {
    let telling = doctored(Law::RevokedStaysRevoked, doctored::without_tombstones());
    assert!(found(false, 5_000, telling).is_some());
}

/// It is not lost where nobody comes between a client's commands.
#[test]
fn with_an_index_by_commands_a_session_is_lost() {
    let telling = doctored(Law::CompleteListsLackNone, doctored::with_an_index_by_commands());
    let by_commands = Telling { index: Some(Index::ByCommands), ..telling };
    assert!(found(false, 5_000, by_commands).is_some());
    let at_once = Telling { index: Some(Index::AtOnce), ..telling };
    assert_eq!(found(false, 50, at_once), None);
}
