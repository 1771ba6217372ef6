//! The same of refresh tokens.

use crate::call::{Reply, Token};
use crate::model::{By, Lineage, Model, Session, just};

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Current,
    Replay,
    Superseded,
    Spent,
    Unknown,
}

impl Lineage {
    fn standing(&self, token: &Token, now: u64) -> Standing {
        use Standing::*;
        let current = &self.current;
        if token.family != current.family || token.generation > current.generation {
            return Unknown;
        }
        match current.generation - token.generation {
            0 if token == current => Current,
            1 if self.previous.as_ref() == Some(token) && now < self.replay => Replay,
            1 if self.previous.as_ref() == Some(token) => Spent,
            0 | 1 => Unknown,
            _ if now < self.replay.max(self.rotated + 5_000) => Superseded,
            _ => Spent,
        }
    }
}

impl Model {
    fn session_of(&self, token: &Token) -> Option<&Session> {
        self.state.as_ref()?.sessions.get(&token.session)
    }

    fn lineage_of(&self, token: &Token) -> Option<&Lineage> {
        self.session_of(token)?.lineage.as_ref()
    }

    /// Why the session of a token is over, if it is.
    fn ended_by(&self, token: &Token) -> Option<&By> {
        Some(&self.state.as_ref()?.tombstones.get(&token.session)?.by)
    }

    /// The hash outlives the session already, and is not kept any longer for that.
    fn set_lineage(&mut self, lineage: Lineage) {
        let state = self.state.as_mut().expect("the session is in it");
        let session = state.sessions.get_mut(&lineage.current.session);
        session.expect("it is there").lineage = Some(lineage);
    }

    /// Ends the session of a token.
    fn end(&mut self, token: &Token, by: By, now: u64) {
        let mut state = self.state.take().expect("the session is in it");
        state.version = self.mint();
        state.bury(&token.session, by);
        self.write(state, now);
    }

    pub fn issue(&mut self, token: &Token, now: u64) -> Reply {
        if self.ended_by(token).is_some() {
            return just("revoked");
        }
        if self.session_of(token).is_none() {
            return just("unknown");
        }
        match self.lineage_of(token) {
            Some(stored) if stored.current == *token => return just("issued"),
            Some(stored) if stored.current.generation >= token.generation => return just("behind"),
            _ => {}
        }
        let (current, payload) = (token.clone(), String::new());
        let lineage = Lineage { current, previous: None, rotated: now, replay: now, payload };
        self.set_lineage(lineage);
        just("issued")
    }

    pub fn lookup(&self, token: &Token, now: u64) -> Reply {
        if self.ended_by(token).is_some() {
            return just("revoked");
        }
        let standing = self.lineage_of(token).map(|lineage| lineage.standing(token, now));
        just(match standing.unwrap_or(Standing::Unknown) {
            Standing::Current => "current",
            Standing::Replay => "replay",
            Standing::Superseded => "superseded",
            Standing::Spent => "spent",
            Standing::Unknown => "unknown",
        })
    }

    pub fn rotate(&mut self, token: &Token, next: &Token, payload: &str, now: u64) -> Reply {
        match self.ended_by(token) {
            Some(By::Reuse(by, class)) if by == token => return just(class),
            Some(_) => return just("revoked"),
            None => {}
        }
        let Some(lineage) = self.lineage_of(token) else { return just("unknown") };
        let expires = self.session_of(token).expect("it has a lineage").times.expires;
        let is_previous = token.generation + 1 == lineage.current.generation;
        match lineage.standing(token, now) {
            Standing::Unknown => return just("unknown"),
            Standing::Superseded => return just("superseded"),
            Standing::Replay | Standing::Spent if is_previous && lineage.current == *next => {}
            Standing::Replay => return Reply::Replayed(lineage.payload.clone().into_bytes()),
            Standing::Spent => {
                let class = if is_previous { "previous" } else { "older" };
                self.end(token, By::Reuse(token.clone(), class), now);
                return just(class);
            }
            Standing::Current => {
                let (current, previous) = (next.clone(), Some(token.clone()));
                let (replay, payload) = (now + self.rules.window, payload.to_owned());
                self.set_lineage(Lineage { current, previous, rotated: now, replay, payload });
            }
        }
        Reply::Rotated(expires)
    }

    pub fn revoke_family(&mut self, token: &Token, now: u64) -> Reply {
        if self.ended_by(token).is_some() {
            return just("revoked");
        }
        match self.lineage_of(token) {
            Some(lineage) if lineage.current.family == token.family => {
                self.end(token, By::Anyone, now);
                just("ended")
            }
            _ => just("unknown"),
        }
    }
}
