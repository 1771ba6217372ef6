//! What is looked at, and how it is compared with what the model says.

use std::collections::BTreeSet;

use super::{Broken, Call, End, History, Law, Reply, Version};
use crate::call::Times;

/// No instant at which an answer changes may lie so near to a call, before it and after it, where the
/// model says exactly what comes: it does not know the server's clock to the millisecond.
pub(super) const BEFORE: u64 = 60;
const AFTER: u64 = 250;
impl History<'_> {
    /// Lets the instants that are near go by.
    pub(super) async fn keep_clear(&mut self, call: &Call) {
        let mut instants = vec![];
        if let Call::Confirm { version, .. } | Call::Fill { version, .. } = call {
            instants.extend([self.rules.lasts, self.rules.complete].map(|at| version.asked + at));
        }
        match call {
            Call::Confirm { row, .. } | Call::Create { row, .. } => instants.push(row.expires),
            Call::Fill { rows, .. } => instants.extend(rows.iter().map(|row| row.expires)),
            _ => {}
        }
        if let Some(state) = &self.model.state {
            instants.extend(state.instants(self.rules.debounce));
        }
        instants.sort_unstable();
        for at in instants {
            let now = self.world.now();
            if at + BEFORE > now && at < now + AFTER {
                self.world.pass(at + BEFORE - now).await;
            }
        }
    }

    /// A call with the model's own name of the version.
    pub(super) fn in_the_models_words(&self, call: &Call) -> Call {
        let mut call = call.clone();
        if let Call::Confirm { version, .. } | Call::Fill { version, .. } = &mut call {
            let known = self.versions.iter().find(|(_, text)| **text == version.text);
            version.text.clone_from(known.expect("it was told").0);
        }
        call
    }

    pub(super) fn compare(
        &mut self,
        call: &Call,
        expected: &Reply,
        found: &Reply,
    ) -> Result<(), Broken> {
        let near = |one: u64, other: u64| one.abs_diff(other) < AFTER;
        let same = |one: &Times, other: &Times| {
            let seen = other.seen;
            near(one.seen, seen) && Times { seen, ..*one } == *other
        };
        let as_expected = match (expected, found) {
            (Reply::Active(one), Reply::Active(other)) => same(one, other),
            (Reply::Sessions(one), Reply::Sessions(other)) => {
                one.keys().eq(other.keys())
                    && one.values().zip(other.values()).all(|(one, other)| same(one, other))
            }
            (Reply::Asked(one, expected), Reply::Asked(other, found)) => {
                let same = self.is_same_version(expected, found);
                one == other && near(expected.asked, found.asked) && same
            }
            (one, other) => one == other,
        };
        Broken::unless(as_expected, Law::AsTheModelSays, || {
            format!("{call:?} gives {found:?} and not {expected:?}")
        })
    }

    /// The server's text of a version is learnt when it tells it first.
    fn is_same_version(&mut self, expected: &Version, found: &Version) -> bool {
        let is_another =
            |(name, text): (&String, &String)| *name != expected.text && *text == found.text;
        let known = self.versions.entry(expected.text.clone());
        *known.or_insert_with(|| found.text.clone()) == found.text
            && !self.versions.iter().any(is_another)
    }

    /// Looks at all there is. Where there is a hash that changes nothing.
    pub(super) async fn observe(&mut self) -> Result<(), End> {
        let listing = Call::List { nonce: "an observer".to_owned() };
        if self.telling.exactly {
            self.keep_clear(&listing).await;
        }
        let from = self.world.now();
        let exists = self.world.exists();
        let mut calls = Vec::new();
        if exists {
            let nonce = "an observer".to_owned();
            calls.push(listing);
            for session in self.clients.sessions() {
                let tokens = (0..3).filter_map(|back| self.clients.token(&session, back));
                let tokens: BTreeSet<_> = tokens.collect();
                calls.extend(tokens.into_iter().map(|token| Call::Lookup { token }));
                calls.push(Call::Check { session, nonce: nonce.clone() });
            }
        }
        let replies = self.world.run_all(calls.clone()).await;
        let to = self.world.now();
        for (call, reply) in calls.iter().zip(&replies) {
            self.told.counts(call, reply);
            match (call, reply) {
                (Call::Check { session, .. }, Reply::Active(_)) => {
                    self.judged(self.laws.reads_active(session, from))?;
                }
                (_, Reply::Sessions(sessions)) => {
                    self.judged(self.laws.lists(sessions, self.created, from, to))?;
                }
                _ => {}
            }
        }
        if self.telling.exactly {
            if to - from >= AFTER {
                return Err(End::Void);
            }
            self.model.lapse(from);
            Broken::unless(self.model.state.is_some() == exists, Law::AsTheModelSays, || {
                format!("that there is a hash is {exists}")
            })?;
            for (call, reply) in calls.iter().zip(&replies) {
                let expected = self.model.apply(call, from);
                self.compare(call, &expected, reply)?;
            }
        }
        Ok(())
    }
}
