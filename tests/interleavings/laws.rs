//! What must hold whatever comes between, told by what was seen alone: it knows nothing of how a
//! state is kept, so it can judge scripts that keep it otherwise.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::{Call, Reply, Row, Rules, Times, Token};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// What was revoked reads active no more.
    RevokedStaysRevoked,
    /// Where Redis remembers that a session was revoked, nothing takes it for a live one.
    TombstonesRefuse,
    /// A list that says it is complete lacks no session.
    CompleteListsLackNone,
    /// Nor has it one that was revoked.
    ListsHoldNoneRevoked,
    MaximumHolds,
    OneRotationWins,
    ReplaysAreTheWinners,
    /// A reply, or what is there after it, is what the model says.
    AsTheModelSays,
}

#[derive(Clone, Debug)]
pub struct Broken {
    pub law: Law,
    pub told: String,
}

impl Broken {
    pub fn unless(holds: bool, law: Law, told: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { law, told: told() }) }
    }
}

/// When something happened, by the history's clock and in its order.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: u64,
    turn: u64,
}

#[derive(Clone, Debug)]
pub struct Laws {
    rules: Rules,
    turn: u64,
    /// When the database ended them. Without one, that says nothing.
    committed: BTreeMap<String, u64>,
    /// Revoked in Redis, and before that in the database if there is one.
    revoked: BTreeMap<String, Moment>,
    /// Redis has told that it ended them itself, or was told to by name: it has a tombstone.
    buried: BTreeMap<String, Moment>,
    /// Redis has been told of them.
    known: BTreeMap<String, (Row, Moment)>,
    winners: BTreeMap<Token, (Token, String)>,
    forgot: Option<Moment>,
    went_back: Option<Moment>,
}

impl Laws {
    pub fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            turn: 0,
            committed: BTreeMap::new(),
            revoked: BTreeMap::new(),
            buried: BTreeMap::new(),
            known: BTreeMap::new(),
            winners: BTreeMap::new(),
            forgot: None,
            went_back: None,
        }
    }

    fn moment(&mut self, at: u64) -> Moment {
        self.turn += 1;
        Moment { at, turn: self.turn }
    }

    /// The database ends a session. What was read before that was asked for before that.
    pub fn commits(&mut self, session: &str, at: u64) {
        self.committed.entry(session.to_owned()).or_insert(at);
    }

    /// The hash is gone, which a server without a database behind does not do.
    pub fn forgets(&mut self, at: u64) {
        self.winners.clear();
        self.forgot = Some(self.moment(at));
    }

    /// The server restarts from what `then` was true of. Where there is nothing behind, that is all
    /// that is true.
    pub fn goes_back(&mut self, then: &Self, at: u64) {
        self.forgets(at);
        if self.rules.database {
            self.went_back = Some(self.moment(at));
        } else {
            let turn = self.turn;
            *self = Self { turn, ..then.clone() };
        }
    }

    fn since(event: Option<Moment>, then: Moment) -> bool {
        event.is_some_and(|event| event.turn > then.turn)
    }

    /// Whether nothing was forgotten since.
    fn remembers(&self, then: Moment) -> bool {
        !Self::since(self.forgot, then)
    }

    /// Why a session must not read active, if so.
    fn is_over(&self, session: &str, now: u64) -> bool {
        if self.buried.get(session).is_some_and(|&then| self.remembers(then)) {
            return true;
        }
        let Some(&then) = self.revoked.get(session) else { return false };
        // What a server that went back in time brings back was asked for before the commit.
        let bound = self.committed.get(session).map(|at| at + self.rules.lasts);
        !Self::since(self.went_back, then) || bound.is_none_or(|bound| now >= bound)
    }

    fn buries<'a>(&mut self, sessions: impl IntoIterator<Item = &'a String>, at: u64) {
        let moment = self.moment(at);
        for session in sessions {
            self.buried.insert(session.clone(), moment);
            if !self.rules.database {
                self.revoked.insert(session.clone(), moment);
            }
        }
    }

    fn revokes<'a>(&mut self, sessions: impl IntoIterator<Item = &'a String>, at: u64) {
        let moment = self.moment(at);
        let sessions = sessions.into_iter();
        let done = sessions.filter(|session| self.committed.contains_key(*session));
        let done: Vec<_> = done.cloned().collect();
        self.revoked.extend(done.into_iter().map(|session| (session, moment)));
    }

    /// A call was executed, not before `at`.
    pub fn executed(&mut self, call: &Call, reply: &Reply, at: u64) -> Result<(), Broken> {
        let may_be = self.may_be(call, reply);
        let (outcome, ids) = match reply {
            Reply::Told(outcome, ids) => (&**outcome, ids.clone()),
            _ => ("", BTreeSet::new()),
        };
        match call {
            Call::Create { row, .. } => {
                self.buries(&ids, at);
                if outcome == "created" {
                    self.knows([row], at);
                }
            }
            Call::Confirm { row, .. } if outcome == "confirmed" => self.knows([row], at),
            Call::Fill { rows, .. } if outcome == "filled" => {
                self.buries(&ids, at);
                self.knows(rows, at);
            }
            Call::Revoke { sessions, .. } => {
                self.buries(sessions, at);
                self.revokes(sessions, at);
            }
            Call::RevokeAll { covers, .. } | Call::RevokeOthers { covers, .. } => {
                self.buries(&ids, at);
                // Without a database nothing says that those are over which it has not found.
                if self.rules.database {
                    self.revokes(covers, at);
                }
            }
            Call::RevokeFamily { token, .. } if outcome != "unknown" => {
                self.buries([&token.session], at);
                self.revokes([&token.session], at);
            }
            Call::Rotate { token, .. } if ["previous", "older"].contains(&outcome) => {
                self.buries([&token.session], at);
            }
            Call::Rotate { token, next, payload, .. } => {
                self.rotated(token, next, payload, reply)?
            }
            _ => {}
        }
        may_be
    }

    fn knows<'a>(&mut self, rows: impl IntoIterator<Item = &'a Row>, at: u64) {
        let moment = self.moment(at);
        for row in rows {
            self.known.entry(row.id.clone()).or_insert_with(|| (row.clone(), moment));
        }
    }

    /// Nothing goes on with a session that Redis remembers to have ended.
    fn may_be(&self, call: &Call, reply: &Reply) -> Result<(), Broken> {
        let session = match call {
            Call::Create { row, .. } | Call::Confirm { row, .. } => &row.id,
            Call::Issue { token } | Call::Rotate { token, .. } => &token.session,
            Call::Touch { session } => session,
            _ => return Ok(()),
        };
        let goes_on = match reply {
            Reply::Told(outcome, _) => ["created", "confirmed", "issued"].contains(&&**outcome),
            Reply::Rotated(_) | Reply::Replayed(_) => true,
            Reply::Int(noted) => *noted > 0,
            _ => false,
        };
        let buried = self.buried.get(session).is_some_and(|&then| self.remembers(then));
        Broken::unless(!goes_on || !buried, Law::TombstonesRefuse, || {
            format!("{call:?} gives {reply:?} after it was ended")
        })
    }

    fn rotated(
        &mut self,
        token: &Token,
        next: &Token,
        payload: &str,
        reply: &Reply,
    ) -> Result<(), Broken> {
        let won = self.winners.get(token);
        match reply {
            Reply::Rotated(_) => {
                let (winner, _) = self
                    .winners
                    .entry(token.clone())
                    .or_insert_with(|| (next.clone(), payload.to_owned()));
                Broken::unless(winner == next, Law::OneRotationWins, || {
                    format!("{token:?} is rotated for {winner:?} and for {next:?}")
                })
            }
            Reply::Replayed(bytes) => {
                // After a restart nobody knows who won before it.
                let same = won.is_none_or(|(_, payload)| payload.as_bytes() == bytes);
                Broken::unless(same, Law::ReplaysAreTheWinners, || {
                    format!("{token:?} is replayed with {bytes:?} and not as {won:?}")
                })
            }
            _ => Ok(()),
        }
    }

    /// A check found a session active, not before `now`.
    pub fn reads_active(&self, session: &str, now: u64) -> Result<(), Broken> {
        Broken::unless(!self.is_over(session, now), Law::RevokedStaysRevoked, || {
            format!("{session} reads active at {now}, {:?}", self.revoked.get(session))
        })
    }

    /// A list said that it is complete, not before `from` and not after `to`.
    pub fn lists(
        &self,
        sessions: &BTreeMap<String, Times>,
        created: bool,
        from: u64,
        to: u64,
    ) -> Result<(), Broken> {
        let max = self.rules.max;
        let may_be_more = max == 0 || (self.rules.database && !created);
        Broken::unless(may_be_more || sessions.len() <= max, Law::MaximumHolds, || {
            format!("{:?} are more than {max}", sessions.keys())
        })?;
        for (session, times) in sessions {
            // A create that comes after its revoke was forgotten is listed, but confirmed by nobody.
            let counts = !self.rules.database || times.confirmed > from;
            Broken::unless(
                !counts || !self.is_over(session, from),
                Law::ListsHoldNoneRevoked,
                || format!("{session} is in the list at {from}"),
            )?;
        }
        for (session, (row, then)) in &self.known {
            let is_live = row.expires > to && !self.committed.contains_key(session);
            let is_due = is_live && !self.buried.contains_key(session);
            let bound = then.at + self.rules.complete;
            let lost = Self::since(self.went_back, *then) && from < bound;
            Broken::unless(
                !is_due || lost || sessions.contains_key(session),
                Law::CompleteListsLackNone,
                || format!("{session} is not among {:?}", sessions.keys()),
            )?;
        }
        Ok(())
    }
}
