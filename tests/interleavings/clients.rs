//! The clients and their database: who does what next, in an auth server that keeps the rules.

use std::collections::BTreeMap;

use crate::call::{Call, Reply, Row, Token, Version};

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Next {
    Call(Call),
    /// It reads in the database whether a session is active, to confirm that.
    ReadOne(String, Version),
    /// It reads all that are, to fill the list, and then to create its own.
    ReadAll(Version, Option<Row>),
    /// It commits what Redis has ended by itself.
    Commit(Vec<String>),
    /// It adds its session to an index of its own, and creates it then.
    ReadIndex(Row),
    WriteIndex(Row, String),
}

pub struct Client {
    pub next: Next,
    /// What it is to create once the list is filled.
    later: Option<Row>,
}

/// A row, and whether it was ended.
struct Kept {
    row: Row,
    ended: bool,
}

pub struct Clients {
    /// Whether they have a database: without one they ask nobody.
    ask: bool,
    rows: BTreeMap<String, Kept>,
    pub doing: Vec<Client>,
    /// All calls that were ever prepared.
    pub calls: Vec<Call>,
    /// The tokens of each session that were current once, the last of them last.
    tokens: BTreeMap<String, Vec<Token>>,
    made: u32,
}

impl Clients {
    pub fn new(ask: bool) -> Self {
        let (rows, tokens) = (BTreeMap::new(), BTreeMap::new());
        Self { ask, rows, doing: Vec::new(), calls: Vec::new(), tokens, made: 0 }
    }

    /// A number that no other has.
    fn another(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    pub fn nonce(&mut self) -> String {
        format!("{:032x}", self.another())
    }

    pub fn sessions(&self) -> Vec<String> {
        self.rows.keys().cloned().collect()
    }

    /// A client that has a call to make.
    pub fn begin(&mut self, call: Call) {
        self.goes_on(Next::Call(call), None);
    }

    fn goes_on(&mut self, next: Next, later: Option<Row>) {
        if let Next::Call(call) = &next {
            self.calls.push(call.clone());
        }
        self.doing.push(Client { next, later });
    }

    /// A new row is committed.
    pub fn log_in(&mut self, created: u64, expires: u64, index_by_commands: bool) {
        let id = char::from(b'a' + self.rows.len() as u8).to_string();
        let row = Row { id: id.clone(), created, expires };
        self.rows.insert(id, Kept { row: row.clone(), ended: false });
        match index_by_commands {
            true => self.goes_on(Next::ReadIndex(row), None),
            false => self.creates(row),
        }
    }

    pub fn creates(&mut self, row: Row) {
        let nonce = self.nonce();
        self.begin(Call::Create { row, nonce });
    }

    pub fn reads_index(&mut self, row: Row, index: String) {
        let index = index + &row.id;
        self.goes_on(Next::WriteIndex(row, index), None);
    }

    /// Sessions are ended in the database.
    pub fn commit(&mut self, sessions: &[String]) {
        for session in sessions {
            self.rows.get_mut(session).expect("it has a row").ended = true;
        }
    }

    /// Those that the database has ended.
    pub fn ended(&self) -> Vec<String> {
        let ended = self.rows.values().filter(|kept| kept.ended);
        ended.map(|kept| kept.row.id.clone()).collect()
    }

    /// Those that it has not, and that have not expired.
    fn active(&self, now: u64) -> Vec<Row> {
        let active = self.rows.values().filter(|kept| !kept.ended && kept.row.expires > now);
        active.map(|kept| kept.row.clone()).collect()
    }

    pub fn read_one(&mut self, session: &str, version: Version, now: u64) {
        if let Some(row) = self.active(now).into_iter().find(|row| row.id == session) {
            self.begin(Call::Confirm { row, version });
        }
    }

    pub fn read_all(&mut self, version: Version, later: Option<Row>, now: u64) {
        let rows = self.active(now);
        self.goes_on(Next::Call(Call::Fill { rows, version }), later);
    }

    pub fn revoke(&mut self, sessions: Vec<String>) {
        let nonce = self.nonce();
        self.begin(Call::Revoke { sessions, nonce });
    }

    /// The token that many before the last current one, if the session has any.
    pub fn token(&self, session: &str, back: usize) -> Option<Token> {
        let tokens = self.tokens.get(session)?;
        Some(tokens[tokens.len().saturating_sub(back + 1)].clone())
    }

    /// The first one of a session, or one that is so much later than the last.
    pub fn token_to_issue(&mut self, session: &str, later: u32) -> Token {
        let secret = self.another();
        match self.token(session, 0) {
            Some(last) if later == 0 => last,
            Some(last) => Token { generation: last.generation + later, secret, ..last },
            None => Token { session: session.to_owned(), family: secret, generation: 0, secret },
        }
    }

    pub fn forged_token(&mut self, session: &str, generation: u32) -> Token {
        let (family, secret) = (self.another(), self.another());
        Token { session: session.to_owned(), family, generation, secret }
    }

    pub fn rotation(&mut self, token: Token) -> Call {
        let secret = self.another();
        let next = Token { generation: token.generation + 1, secret, ..token.clone() };
        let (payload, nonce) = (format!("the response with {secret}"), self.nonce());
        Call::Rotate { token, next, payload, nonce }
    }

    /// Redis has executed a call, whether or not anybody learns of it.
    pub fn executed(&mut self, call: &Call, reply: &Reply) {
        let current = match (call, reply) {
            (Call::Rotate { next, .. }, Reply::Rotated(_)) => next,
            (Call::Issue { token }, Reply::Told(outcome, _)) if outcome == "issued" => token,
            _ => return,
        };
        let tokens = self.tokens.entry(current.session.clone()).or_default();
        if !tokens.contains(current) {
            tokens.push(current.clone());
            tokens.sort_by_key(|token| token.generation);
        }
    }

    /// What whoever hears a reply does then.
    pub fn hears(&mut self, client: Client, call: &Call, reply: &Reply) {
        let later = client.later;
        match (call, reply) {
            (Call::Check { session, .. }, Reply::Asked(_, version)) => {
                // Some bring back all sessions while they are at it.
                let next = match self.made % 4 {
                    0 => Next::ReadAll(version.clone(), None),
                    _ => Next::ReadOne(session.clone(), version.clone()),
                };
                self.goes_on(next, None);
            }
            (Call::List { .. }, Reply::Asked(_, version)) => {
                self.goes_on(Next::ReadAll(version.clone(), None), None);
            }
            (Call::Create { row, .. }, Reply::Asked(_, version)) => {
                self.goes_on(Next::ReadAll(version.clone(), Some(row.clone())), None);
            }
            (Call::Create { .. } | Call::Fill { .. }, Reply::Told(_, ids)) if !ids.is_empty() => {
                self.ended_by_redis(ids.iter().cloned().collect());
            }
            (Call::Rotate { token, .. }, Reply::Told(outcome, _))
                if ["previous", "older"].contains(&&**outcome) =>
            {
                self.ended_by_redis(vec![token.session.clone()]);
            }
            _ => {}
        }
        if let (Call::Create { row, .. }, "created") = (call, &*reply.outcome()) {
            let token = self.token_to_issue(&row.id, 0);
            self.begin(Call::Issue { token });
        }
        if let (Call::Fill { .. }, Some(row)) = (call, later) {
            self.creates(row);
        }
    }

    fn ended_by_redis(&mut self, sessions: Vec<String>) {
        if self.ask {
            self.goes_on(Next::Commit(sessions), None);
        }
    }
}
