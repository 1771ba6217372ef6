//! What the contract says of a user's state, once more and in Rust: what each call is to be answered.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::{Call, Reply, Row, Rules, Times, Token, Version};

/// What a stub lives.
const MINUTE: u64 = 60_000;
/// What the mark of a call that ended all sessions lives.
const DAY: u64 = 86_400_000;

#[derive(Clone, Debug)]
pub struct Model {
    pub rules: Rules,
    pub state: Option<State>,
    /// How many versions there were. The nth is called `#n` here.
    pub versions: u32,
}

/// The hash.
#[derive(Clone, Debug)]
pub struct State {
    pub version: String,
    pub ends: u64,
    pub complete: u64,
    pub sessions: BTreeMap<String, Session>,
    pub tombstones: BTreeMap<String, Tombstone>,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub times: Times,
    pub lineage: Option<Lineage>,
}

#[derive(Clone, Debug)]
pub struct Tombstone {
    pub till: u64,
    pub by: By,
}

/// Who ended a session, as far as a repeat has to know.
#[derive(Clone, Debug, PartialEq)]
pub enum By {
    Anyone,
    /// The session that displaced it, or the nonce of a call.
    Name(String),
    Reuse(Token, &'static str),
}

#[derive(Clone, Debug)]
pub struct Lineage {
    pub current: Token,
    pub previous: Option<Token>,
    pub rotated: u64,
    pub replay: u64,
    pub payload: String,
}

pub fn told<'a>(outcome: &str, ids: impl IntoIterator<Item = &'a String>) -> Reply {
    Reply::Told(outcome.to_owned(), ids.into_iter().cloned().collect())
}

pub fn just(outcome: &str) -> Reply {
    told(outcome, [])
}

impl Session {
    fn of(row: &Row, now: u64) -> Self {
        let (created, expires) = (row.created, row.expires);
        Self { times: Times { created, seen: now, expires, confirmed: 0 }, lineage: None }
    }
}

impl State {
    /// Whether a session is confirmed, or needs not to be.
    fn is_active(&self, session: &str, now: u64, database: bool) -> bool {
        let known = self.sessions.get(session);
        known.is_some_and(|known| !database || known.times.confirmed > now)
    }

    /// Those that ended by this name.
    fn ended_by(&self, name: &str) -> BTreeSet<String> {
        let by = By::Name(name.to_owned());
        let ended = self.tombstones.iter().filter(|(id, stone)| stone.by == by && *id != name);
        ended.map(|(id, _)| id.clone()).collect()
    }

    /// Ends a session that is known.
    pub fn bury(&mut self, session: &str, by: By) {
        let known = self.sessions.remove(session).expect("it is known");
        let till = known.times.expires;
        self.tombstones.insert(session.to_owned(), Tombstone { till, by });
    }

    /// All instants at which an answer changes by itself.
    pub fn instants(&self, debounce: u64) -> Vec<u64> {
        let mut instants = vec![self.ends, self.complete];
        for session in self.sessions.values() {
            let Times { seen, expires, confirmed, .. } = session.times;
            instants.extend([expires, confirmed, seen + debounce]);
            if let Some(lineage) = &session.lineage {
                instants.extend([lineage.replay, lineage.rotated + 5_000]);
            }
        }
        instants.extend(self.tombstones.values().map(|stone| stone.till));
        instants
    }
}

impl Model {
    pub fn new(rules: &Rules) -> Self {
        Self { rules: rules.clone(), state: None, versions: 0 }
    }

    pub fn mint(&mut self) -> String {
        self.versions += 1;
        format!("#{}", self.versions)
    }

    /// What has ended is no more.
    pub fn lapse(&mut self, now: u64) {
        self.state = self.state.take().filter(|state| state.ends > now);
        if let Some(state) = &mut self.state {
            state.sessions.retain(|_, session| session.times.expires > now);
            state.tombstones.retain(|_, stone| stone.till > now);
        }
    }

    /// A hash is kept until the last of what it holds ends, for a minute at least.
    pub fn write(&mut self, mut state: State, now: u64) {
        let sessions = state.sessions.values().map(|session| session.times.expires);
        let ends = sessions.chain(state.tombstones.values().map(|stone| stone.till));
        state.ends = ends.chain([state.complete, now + MINUTE]).max().unwrap_or_default();
        self.state = Some(state);
    }

    /// The state, or one of which nothing is known under a new version.
    fn begun(&mut self) -> State {
        self.state.take().unwrap_or_else(|| State {
            version: self.mint(),
            ends: 0,
            complete: 0,
            sessions: BTreeMap::new(),
            tombstones: BTreeMap::new(),
        })
    }

    fn asked(&mut self, outcome: &str, now: u64) -> Reply {
        if self.state.is_none() {
            let state = self.begun();
            self.write(state, now);
        }
        let text = self.state.as_ref().unwrap().version.clone();
        Reply::Asked(outcome.to_owned(), Version { text, asked: now })
    }

    fn is_revoked(&self, session: &str) -> bool {
        self.state.as_ref().is_some_and(|state| state.tombstones.contains_key(session))
    }

    fn is_under(&self, version: &Version) -> bool {
        self.state.as_ref().is_some_and(|state| state.version == version.text)
    }

    fn is_complete(&self, now: u64) -> bool {
        !self.rules.database || self.state.as_ref().is_some_and(|state| state.complete > now)
    }

    /// Does what the script does, and tells what it is to answer.
    pub fn apply(&mut self, call: &Call, now: u64) -> Reply {
        self.lapse(now);
        match call {
            Call::Check { session, .. } => self.check(session, now),
            Call::Confirm { row, version } => self.confirm(row, version, now),
            Call::Create { row, .. } => self.create(row, now),
            Call::Fill { rows, version } => self.fill(rows, version, now),
            Call::List { .. } => self.list(now),
            Call::Touch { session } => self.touch(session, now),
            Call::Revoke { sessions, .. } => self.revoke(sessions, now),
            Call::RevokeAll { nonce, .. } => self.revoke_all(None, nonce, now),
            Call::RevokeOthers { stays, nonce, .. } => self.revoke_all(Some(stays), nonce, now),
            Call::Issue { token } => self.issue(token, now),
            Call::Lookup { token } => self.lookup(token, now),
            Call::Rotate { token, next, payload, .. } => self.rotate(token, next, payload, now),
            Call::RevokeFamily { token, .. } => self.revoke_family(token, now),
        }
    }

    fn check(&mut self, session: &str, now: u64) -> Reply {
        if self.is_revoked(session) {
            return just("revoked");
        }
        match &self.state {
            Some(state) if state.is_active(session, now, self.rules.database) => {
                Reply::Active(state.sessions[session].times)
            }
            _ if self.rules.database => self.asked("unknown", now),
            _ => just("absent"),
        }
    }

    fn confirm(&mut self, row: &Row, version: &Version, now: u64) -> Reply {
        let until = version.asked + self.rules.lasts;
        if self.is_revoked(&row.id) {
            return just("revoked");
        }
        if !self.is_under(version) || until <= now {
            return just("stale");
        }
        let mut state = self.begun();
        let known = state.sessions.entry(row.id.clone()).or_insert_with(|| Session::of(row, now));
        if known.times.expires <= now {
            state.sessions.remove(&row.id);
            self.state = Some(state);
            return just("expired");
        }
        known.times.confirmed = known.times.confirmed.max(until);
        self.write(state, now);
        just("confirmed")
    }

    fn create(&mut self, row: &Row, now: u64) -> Reply {
        let max = self.rules.max;
        let before = self.state.as_ref().map(|state| state.ended_by(&row.id)).unwrap_or_default();
        if self.is_revoked(&row.id) {
            return told("revoked", &before);
        }
        if max > 0 && !self.is_complete(now) {
            return self.asked("unfilled", now);
        }
        if row.expires <= now {
            return told("expired", &before);
        }
        let mut state = self.begun();
        let others = state.sessions.iter().filter(|(id, _)| **id != row.id);
        let mut others: Vec<_> =
            others.map(|(id, session)| (session.times.created, id.clone())).collect();
        others.sort();
        let excess = if max > 0 { (others.len() + 1).saturating_sub(max) } else { 0 };
        let mut displaced = before;
        for (_, id) in others.into_iter().take(excess) {
            state.bury(&id, By::Name(row.id.clone()));
            displaced.insert(id);
        }
        if excess > 0 {
            state.version = self.mint();
        }
        state.sessions.entry(row.id.clone()).or_insert_with(|| Session::of(row, now));
        self.write(state, now);
        told("created", &displaced)
    }

    fn fill(&mut self, rows: &[Row], version: &Version, now: u64) -> Reply {
        let Rules { lasts, complete, .. } = self.rules;
        if !self.is_under(version) || version.asked + lasts.min(complete) <= now {
            return just("stale");
        }
        let mut state = self.begun();
        state.complete = state.complete.max(version.asked + complete);
        let mut revoked = BTreeSet::new();
        for row in rows {
            if state.tombstones.contains_key(&row.id) {
                revoked.insert(row.id.clone());
            } else if row.expires > now {
                let known = state.sessions.entry(row.id.clone());
                let known = known.or_insert_with(|| Session::of(row, now));
                known.times.confirmed = known.times.confirmed.max(version.asked + lasts);
            }
        }
        self.write(state, now);
        told("filled", &revoked)
    }

    fn list(&mut self, now: u64) -> Reply {
        if !self.is_complete(now) {
            return self.asked("unfilled", now);
        }
        let sessions = self.state.iter().flat_map(|state| &state.sessions);
        Reply::Sessions(sessions.map(|(id, session)| (id.clone(), session.times)).collect())
    }

    fn touch(&mut self, session: &str, now: u64) -> Reply {
        let Rules { debounce, database, .. } = self.rules;
        let active = |state: &State| state.is_active(session, now, database);
        if self.is_revoked(session) || !self.state.as_ref().is_some_and(active) {
            return Reply::Int(0);
        }
        let mut state = self.begun();
        let seen = &mut state.sessions.get_mut(session).expect("it is active").times.seen;
        let noted = now >= *seen + debounce;
        if noted {
            *seen = now;
            self.write(state, now);
        } else {
            self.state = Some(state);
        }
        Reply::Int(1 + i64::from(noted))
    }

    fn revoke(&mut self, sessions: &[String], now: u64) -> Reply {
        let mut state = self.begun();
        state.version = self.mint();
        let mut ended = BTreeSet::new();
        for id in sessions {
            if state.sessions.contains_key(id) {
                state.bury(id, By::Anyone);
                ended.insert(id.clone());
            } else if !state.tombstones.contains_key(id) {
                let stone = Tombstone { till: now + self.rules.longest, by: By::Anyone };
                state.tombstones.insert(id.clone(), stone);
            }
        }
        self.write(state, now);
        told("ended", &ended)
    }

    fn revoke_all(&mut self, stays: Option<&String>, nonce: &str, now: u64) -> Reply {
        if self.is_revoked(nonce) {
            return told("ended", &self.state.as_ref().unwrap().ended_by(nonce));
        }
        let mut state = self.begun();
        state.version = self.mint();
        let ended: Vec<_> =
            state.sessions.keys().filter(|id| Some(*id) != stays).cloned().collect();
        for id in &ended {
            state.bury(id, By::Name(nonce.to_owned()));
        }
        let mark = Tombstone { till: now + DAY, by: By::Name(nonce.to_owned()) };
        state.tombstones.insert(nonce.to_owned(), mark);
        self.write(state, now);
        told("ended", &ended)
    }
}
