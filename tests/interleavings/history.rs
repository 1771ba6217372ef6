//! One history: its steps on a server, and what the model and the laws say to each.

#[path = "observe.rs"]
mod observe;

use std::collections::BTreeMap;

use auth_adapter_redis::{Redis, ScriptLibrary};
use proptest::sample::Index as Which;

use crate::call::{Call, Reply, Rules, Version};
use crate::clients::{Clients, Next};
use crate::laws::{Broken, Law, Laws};
use crate::model::{Model, State};
use crate::step::Step;
use crate::support::target::Own;
use crate::world::{Way, World};
use observe::BEFORE;

/// As many sessions as letters that nobody mixes up with other ids.
const SESSIONS: usize = 8;

/// How a history is told.
#[derive(Clone, Copy)]
pub struct Telling {
    pub way: Way,
    pub scripts: &'static ScriptLibrary,
    /// Whether the model judges too, and not the laws alone.
    pub exactly: bool,
    /// How clients keep an index of the sessions, if they do.
    pub index: Option<Index>,
    /// The law that is looked for, and what breaks others is passed by; any, if none.
    pub only: Option<Law>,
}

/// An index that clients read, add to and write, by commands of their own.
#[derive(Clone, Copy, PartialEq)]
pub enum Index {
    /// Others may come between the two.
    ByCommands,
    /// Nobody comes between.
    AtOnce,
}

/// What came of a history that broke nothing.
#[derive(Debug, Default)]
pub struct Told {
    pub steps: usize,
    /// How often each script gave each outcome.
    pub outcomes: BTreeMap<(String, String), usize>,
    /// The machine stood still at a moment at which it matters, so the rest is not told.
    pub void: bool,
}

impl Told {
    fn counts(&mut self, call: &Call, reply: &Reply) {
        let outcome = (call.script().to_owned(), reply.outcome());
        *self.outcomes.entry(outcome).or_default() += 1;
    }
}

pub struct History<'a> {
    world: World<'a>,
    telling: Telling,
    rules: Rules,
    clients: Clients,
    laws: Laws,
    model: Model,
    /// What the versions of the model are on the server.
    versions: BTreeMap<String, String>,
    saved: Option<(Laws, Option<State>)>,
    /// Something has come to the server.
    stirred: bool,
    /// A create has just been done.
    created: bool,
    told: Told,
}

/// What ends a history early.
enum End {
    Broken(Broken),
    Void,
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

fn pick<T: Clone>(which: &Which, of: &[T]) -> Option<T> {
    (!of.is_empty()).then(|| which.get(of).clone())
}

impl<'a> History<'a> {
    pub fn new(server: &'a Own, redis: Redis, rules: &Rules, telling: Telling) -> Self {
        Self {
            world: World::new(server, redis, telling.scripts, rules, telling.way),
            telling,
            rules: rules.clone(),
            clients: Clients::new(rules.database),
            laws: Laws::new(rules),
            model: Model::new(rules),
            versions: BTreeMap::new(),
            saved: None,
            stirred: false,
            created: false,
            told: Told::default(),
        }
    }

    pub async fn tell(mut self, steps: &[Step]) -> Result<Told, Broken> {
        for step in steps {
            self.created = false;
            let outcome = match self.happens(step).await {
                Ok(()) if self.stirred => self.observe().await,
                end => end,
            };
            match outcome {
                Ok(()) => self.told.steps += 1,
                Err(End::Broken(broken)) => return Err(broken),
                Err(End::Void) => {
                    self.told.void = true;
                    break;
                }
            }
        }
        Ok(self.told)
    }

    fn judged(&self, judgement: Result<(), Broken>) -> Result<(), Broken> {
        let only = self.telling.only;
        judgement.or_else(|broken| match only {
            Some(law) if law != broken.law => Ok(()),
            _ => Err(broken),
        })
    }

    async fn happens(&mut self, step: &Step) -> Result<(), End> {
        let now = self.world.now();
        self.stirred = matches!(step, Step::Evict | Step::GoBack | Step::Pass(_));
        let sessions = self.clients.sessions();
        let of = |which: &Which| pick(which, &sessions);
        match step {
            Step::Login { age, life } if sessions.len() < SESSIONS => {
                let expires = now + self.rules.lives[*life];
                self.clients.log_in(now - age, expires, self.telling.index.is_some());
            }
            Step::Check(which) => {
                if let Some(session) = of(which) {
                    let nonce = self.clients.nonce();
                    self.starts(Call::Check { session, nonce }).await?;
                }
            }
            Step::List => {
                let nonce = self.clients.nonce();
                self.starts(Call::List { nonce }).await?;
            }
            Step::Touch(which) => {
                if let Some(session) = of(which) {
                    self.starts(Call::Touch { session }).await?;
                }
            }
            Step::Logout(which) => {
                if let Some(session) = of(which) {
                    self.commit(std::slice::from_ref(&session));
                    self.clients.revoke(vec![session]);
                }
            }
            Step::LogoutAll => {
                self.commit(&sessions);
                let (covers, nonce) = (self.clients.ended(), self.clients.nonce());
                self.clients.begin(Call::RevokeAll { covers, nonce });
            }
            Step::LogoutOthers(which) => {
                if let Some(stays) = of(which) {
                    let others: Vec<_> = sessions.into_iter().filter(|id| *id != stays).collect();
                    self.commit(&others);
                    let (mut covers, nonce) = (self.clients.ended(), self.clients.nonce());
                    covers.retain(|id| *id != stays);
                    self.clients.begin(Call::RevokeOthers { stays, covers, nonce });
                }
            }
            Step::Issue(which, later) => {
                if let Some(session) = of(which) {
                    let token = self.clients.token_to_issue(&session, *later);
                    self.clients.begin(Call::Issue { token });
                }
            }
            Step::Present { which, back, held } => {
                let token = of(which).and_then(|session| self.clients.token(&session, *back));
                if let Some(token) = token {
                    let rotation = self.clients.rotation(token);
                    match held {
                        true => self.clients.begin(rotation),
                        false => self.starts(rotation).await?,
                    }
                }
            }
            Step::Forge(which, generation) => {
                if let Some(session) = of(which) {
                    let token = self.clients.forged_token(&session, *generation);
                    let nonce = self.clients.nonce();
                    self.starts(Call::RevokeFamily { token: token.clone(), nonce }).await?;
                    let rotation = self.clients.rotation(token);
                    self.starts(rotation).await?;
                }
            }
            Step::RevokeFamily(which) => {
                let token = of(which).and_then(|session| self.clients.token(&session, 0));
                if let Some(token) = token {
                    self.commit(std::slice::from_ref(&token.session));
                    let nonce = self.clients.nonce();
                    self.clients.begin(Call::RevokeFamily { token, nonce });
                }
            }
            Step::GoOn(which) if !self.clients.doing.is_empty() => {
                let at = which.index(self.clients.doing.len());
                self.goes_on(at).await?;
            }
            Step::LoseReply(which) if !self.clients.doing.is_empty() => {
                let at = which.index(self.clients.doing.len());
                if let Next::Call(call) = self.clients.doing[at].next.clone() {
                    self.execute(&call).await?;
                }
            }
            Step::Vanish(which) if !self.clients.doing.is_empty() => {
                let at = which.index(self.clients.doing.len());
                self.clients.doing.remove(at);
            }
            Step::Late(which) => {
                if let Some(call) = pick(which, &self.clients.calls) {
                    self.execute(&call).await?;
                }
            }
            Step::FlushScripts => self.world.flush_scripts(),
            Step::Evict if self.rules.database => {
                self.world.evict();
                self.laws.forgets(now);
                self.model.state = None;
            }
            Step::Save => {
                self.world.save();
                self.saved = Some((self.laws.clone(), self.model.state.clone()));
            }
            Step::GoBack => {
                if let Some((laws, state)) = &self.saved {
                    self.world.go_back().await;
                    self.laws.goes_back(laws, now);
                    self.model.state = state.clone();
                }
            }
            Step::Pass(which) => self.world.pass(self.rules.pauses[*which]).await,
            _ => {}
        }
        Ok(())
    }

    fn commit(&mut self, sessions: &[String]) {
        self.clients.commit(sessions);
        for session in sessions {
            self.laws.commits(session, self.world.now());
        }
    }

    /// A client begins with a call, which is executed at once.
    async fn starts(&mut self, call: Call) -> Result<(), End> {
        self.clients.begin(call);
        self.goes_on(self.clients.doing.len() - 1).await
    }

    async fn goes_on(&mut self, at: usize) -> Result<(), End> {
        let client = self.clients.doing.remove(at);
        let now = self.world.now();
        match client.next.clone() {
            Next::Call(call) => {
                let reply = self.execute(&call).await?;
                self.clients.hears(client, &call, &reply);
            }
            Next::ReadOne(session, version) => self.clients.read_one(&session, version, now),
            Next::ReadAll(version, creates) => self.clients.read_all(version, creates, now),
            Next::ReadIndex(row) => {
                self.clients.reads_index(row, self.world.index());
                if self.telling.index == Some(Index::AtOnce) {
                    Box::pin(self.goes_on(self.clients.doing.len() - 1)).await?;
                }
            }
            Next::WriteIndex(row, index) => {
                self.world.set_index(&index);
                self.clients.creates(row);
            }
            Next::Commit(sessions) => {
                self.commit(&sessions);
                self.clients.revoke(sessions);
            }
        }
        Ok(())
    }

    async fn execute(&mut self, call: &Call) -> Result<Reply, End> {
        if self.telling.exactly {
            self.keep_clear(call).await;
        }
        self.stirred = true;
        let before = self.world.now();
        let reply = self.world.run(call).await;
        let after = self.world.now();
        self.told.counts(call, &reply);
        self.clients.executed(call, &reply);
        let judgement = self.laws.executed(call, &reply, after);
        self.judged(judgement)?;
        self.created = matches!((call, &reply), (Call::Create { .. }, Reply::Told(outcome, _)) if outcome == "created");
        if self.telling.exactly {
            if after - before >= BEFORE {
                return Err(End::Void);
            }
            let call = self.in_the_models_words(call);
            let expected = self.model.apply(&call, before);
            self.compare(&call, &expected, &reply)?;
        }
        Ok(reply)
    }
}
