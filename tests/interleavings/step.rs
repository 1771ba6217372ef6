//! What can happen next in a history, and how any of it is made up.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::call::Rules;

/// An index says which of those that there are.
#[derive(Clone, Debug)]
pub enum Step {
    /// A login has committed its row: so old already, and with this of the rules' lives.
    Login {
        age: u64,
        life: usize,
    },
    Check(Index),
    List,
    Touch(Index),
    /// The database has ended a session, all of them, or all but one.
    Logout(Index),
    LogoutAll,
    LogoutOthers(Index),
    /// A session's first token, or a later one that the database knows.
    Issue(Index, u32),
    /// A token is presented: that many before the last. What is held is sent later.
    Present {
        which: Index,
        back: usize,
        held: bool,
    },
    /// Somebody makes a token up.
    Forge(Index, u32),
    RevokeFamily(Index),
    /// A client does what is next for it.
    GoOn(Index),
    /// The same, but its reply is lost: it calls once more.
    LoseReply(Index),
    /// A client is no more. Its call is still under way.
    Vanish(Index),
    /// One of all calls so far is executed, for the first time or again, and nobody hears of it.
    Late(Index),
    FlushScripts,
    Evict,
    Save,
    GoBack,
    Pass(usize),
}

pub fn rules(database: bool) -> impl Strategy<Value = Rules> {
    (select(vec![0, 1, 2, 3]), select(vec![0, 3_000, 30_000])).prop_map(move |(max, window)| {
        Rules {
            database,
            max,
            window,
            lasts: 300_000,
            complete: 200_000,
            debounce: 25_000,
            longest: 43_200_000,
            lives: [100_000, 1_000_000, 36_000_000],
            pauses: [2_000, 11_000, 47_000, 170_000],
        }
    })
}

/// Rules for who waits.
pub fn brief_rules(database: bool) -> impl Strategy<Value = Rules> {
    (select(vec![0, 1, 2]), select(vec![0, 10])).prop_map(move |(max, window)| Rules {
        database,
        max,
        window,
        lasts: 40,
        complete: 30,
        debounce: 4,
        longest: 1_000,
        lives: [25, 90, 800],
        pauses: [1, 3, 9, 25],
    })
}

/// After two logins, some are of sessions in the first place and some of tokens.
pub fn history(length: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let of_tokens = prop_oneof![4 => sessions(), 8 => tokens(), 3 => disturbances()];
    let of_sessions = prop_oneof![16 => sessions(), 1 => tokens(), 3 => disturbances()];
    let begins = vec(prop_oneof![1 => login(), 3 => go_on()], 8);
    let goes_on = prop_oneof![vec(of_sessions, length.clone()), vec(of_tokens, length)];
    (begins, goes_on).prop_map(|(begins, goes_on)| [begins, goes_on].concat())
}

fn login() -> impl Strategy<Value = Step> {
    (0..4u64, 0..3usize).prop_map(|(age, life)| Step::Login { age, life })
}

fn go_on() -> impl Strategy<Value = Step> {
    any::<Index>().prop_map(Step::GoOn)
}

fn sessions() -> impl Strategy<Value = Step> {
    let which = any::<Index>;
    prop_oneof![
        6 => login(),
        10 => which().prop_map(Step::Check),
        3 => Just(Step::List),
        4 => which().prop_map(Step::Touch),
        2 => which().prop_map(Step::Logout),
        1 => select(vec![Step::LogoutAll, Step::List]),
        1 => which().prop_map(Step::LogoutOthers),
        30 => go_on(),
        4 => which().prop_map(Step::Late),
    ]
}

fn tokens() -> impl Strategy<Value = Step> {
    let which = any::<Index>;
    let present = (which(), select(vec![0, 0, 0, 1, 1, 2, 3]), prop::bool::weighted(0.3));
    prop_oneof![
        4 => (which(), 0..3u32).prop_map(|(which, later)| Step::Issue(which, later)),
        24 => present.prop_map(|(which, back, held)| Step::Present { which, back, held }),
        2 => (which(), 0..3u32).prop_map(|(which, generation)| Step::Forge(which, generation)),
        1 => which().prop_map(Step::RevokeFamily),
        12 => go_on(),
        2 => which().prop_map(Step::Late),
    ]
}

fn disturbances() -> impl Strategy<Value = Step> {
    let which = any::<Index>;
    prop_oneof![
        4 => which().prop_map(Step::LoseReply),
        2 => which().prop_map(Step::Vanish),
        1 => Just(Step::FlushScripts),
        2 => Just(Step::Evict),
        2 => Just(Step::Save),
        2 => Just(Step::GoBack),
        8 => (0..4usize).prop_map(Step::Pass),
    ]
}

/// One with a snapshot in it that the server comes back to, and with no other.
pub fn history_with_a_snapshot(length: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let part = || {
        let is_other = |step: &Step| !matches!(step, Step::Save | Step::GoBack);
        history(length.clone()).prop_map(move |steps| only(steps, is_other))
    };
    (part(), part(), part()).prop_map(|(before, between, after)| {
        [before, vec![Step::Save], between, vec![Step::GoBack], after].concat()
    })
}

/// One in which the server forgets nothing by itself.
pub fn history_without_loss(length: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let loses = |step: &Step| matches!(step, Step::Pass(_) | Step::Evict | Step::GoBack);
    history(length).prop_map(move |steps| only(steps, |step| !loses(step)))
}

fn only(steps: Vec<Step>, are: impl Fn(&Step) -> bool) -> Vec<Step> {
    steps.into_iter().filter(are).collect()
}
