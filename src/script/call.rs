//! One call of a script: names bound to keys and arguments, one EVALSHA, and the way back from
//! `NOSCRIPT`.

use std::io::Write as _;

use redis::{Arg, Cmd, RedisWrite, ToRedisArgs, Value};

use super::library::Script;
use super::reply::{FromReply, decode};
use crate::connection::{Deadline, Redis, Sent, Turn};
use crate::error::{Error, Result, ServerErrorKind};
use crate::key::slot;
use crate::observe;

/// Words before the keys: EVALSHA, the hash, the number of keys.
const HEAD: usize = 3;
/// Room for the head and for a few short keys and arguments.
const USUAL_SIZE: usize = 256;

/// A call in the making; see [`Script::call`].
///
/// Names are checked against the header where debug assertions are on, so in tests; elsewhere they
/// cost nothing.
#[must_use = "a call is sent by `run`"]
#[derive(Debug)]
pub struct Call<'a> {
    script: &'static Script,
    redis: &'a Redis,
    cmd: Cmd,
    numkeys: usize,
    /// That of a greater whole which the call is a part of.
    deadline: Option<Deadline>,
    /// Whether it ends with the first `TRYAGAIN`.
    at_once: bool,
    /// How many names of the header are bound; only debug builds count.
    #[cfg(debug_assertions)]
    bound: usize,
}

impl<'a> Call<'a> {
    pub(super) fn new(script: &'static Script, redis: &'a Redis, more: usize) -> Self {
        let contract = script.contract();
        let numkeys = contract.fixed_keys() + more;
        let words = HEAD + numkeys + contract.args.len();
        let mut cmd = Cmd::with_capacity(words, USUAL_SIZE + more * 32);
        cmd.arg("EVALSHA").arg(script.sha()).arg(numkeys);
        Self {
            script,
            redis,
            cmd,
            numkeys,
            deadline: None,
            at_once: false,
            #[cfg(debug_assertions)]
            bound: 0,
        }
    }

    /// Binds the next key. The handle's prefix goes before it.
    ///
    /// # Panics
    ///
    /// With debug assertions, where the header names another.
    pub fn key(mut self, name: &str, key: &str) -> Self {
        self.expect(name, false);
        self.push_key(key);
        self
    }

    /// Binds the keys that the last name stands for, as many as [`Script::call_many`] was given.
    ///
    /// # Panics
    ///
    /// With debug assertions, where the header names another or the number differs.
    pub fn keys<'k>(mut self, name: &str, keys: impl IntoIterator<Item = &'k str>) -> Self {
        self.expect(name, true);
        for key in keys {
            self.push_key(key);
        }
        debug_assert_eq!(self.keys_bound(), self.numkeys, "{}: keys", self.script.name());
        self
    }

    /// Binds the next argument: exactly one word on the wire.
    ///
    /// # Panics
    ///
    /// With debug assertions, where the header names another or the value is not one word.
    pub fn arg(mut self, name: &str, value: impl ToRedisArgs) -> Self {
        self.expect(name, false);
        debug_assert_eq!(value.num_of_args(), 1, "{}: {name}", self.script.name());
        self.cmd.arg(value);
        self
    }

    /// Binds the arguments that the last name stands for.
    ///
    /// # Panics
    ///
    /// With debug assertions, where the header names another.
    pub fn args<T: ToRedisArgs>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.expect(name, true);
        for value in values {
            self.cmd.arg(value);
        }
        self
    }

    /// Has the call end with others that began before it.
    pub(crate) fn within(mut self, deadline: Deadline) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Has the call end with the first `TRYAGAIN`, which is else awaited to pass.
    pub(crate) fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Sends it: one round trip, two where the server has not seen the script yet.
    ///
    /// # Errors
    ///
    /// [`Error::CrossSlot`] on a cluster, before anything is sent; [`Error::Reply`] where the reply
    /// has another shape than `T`; else what the connection and the server say.
    ///
    /// # Panics
    ///
    /// With debug assertions, where a name of the header is not bound.
    pub async fn run<T: FromReply>(self) -> Result<T> {
        self.expect_all();
        let observed = observe::Call::script(self.script.name());
        let outcome = self.carry_out().await;
        let outcome = outcome.and_then(|reply| decode(self.script.name(), reply));
        observed.end(&outcome);
        outcome
    }

    async fn carry_out(&self) -> Result<Value> {
        if self.redis.is_cluster() {
            self.check_slots()?;
        }
        let deadline = self.deadline.unwrap_or_else(|| self.redis.deadline());
        let mut sent = Sent::default();
        let reply = self.send(deadline, &mut sent).await;
        reply.map_err(|error| sent.weigh(error, deadline))
    }

    async fn send(&self, deadline: Deadline, sent: &mut Sent) -> Result<Value> {
        match self.put(&self.cmd, deadline, sent).await {
            Err(Error::Server(error)) if error.kind == ServerErrorKind::NoScript => {
                self.bring_source(deadline, sent).await
            }
            reply => reply,
        }
    }

    /// After `NOSCRIPT`: one caller per script and node sends EVAL with the source; the others wait for it,
    /// try EVALSHA once more, and send the source themselves only if that finds nothing either.
    async fn bring_source(&self, deadline: Deadline, sent: &mut Sent) -> Result<Value> {
        let flights = self.redis.flights(&self.cmd);
        let turn = flights.turn(self.script.sha(), deadline.started);
        let turn = deadline.bound(turn).await?;
        let Turn::Lead(lead) = turn else {
            return match self.put(&self.cmd, deadline, sent).await {
                Err(Error::Server(error)) if error.kind == ServerErrorKind::NoScript => {
                    self.count_source();
                    self.put(&self.eval(), deadline, sent).await
                }
                reply => reply,
            };
        };
        let eval = self.eval();
        self.count_source();
        let reply = self.redis.command_at_once(&eval, deadline, sent).await;
        // An error of the script itself came from a script that is there now. Where the keys of this
        // call are apart on a cluster it is not, and the others find that out for themselves.
        if matches!(reply, Ok(_) | Err(Error::Server(_))) {
            lead.done();
        }
        match reply {
            Err(Error::Server(error))
                if error.kind == ServerErrorKind::TryAgain && !self.at_once =>
            {
                self.count_source();
                self.put(&eval, deadline, sent).await
            }
            reply => reply,
        }
    }

    /// The script is about to be sent by its source.
    fn count_source(&self) {
        self.redis.loaded_script();
        observe::script_loaded(self.script.name());
    }

    async fn put(&self, cmd: &Cmd, deadline: Deadline, sent: &mut Sent) -> Result<Value> {
        match self.at_once {
            true => self.redis.command_at_once(cmd, deadline, sent).await,
            false => self.redis.command_within(cmd, deadline, sent).await,
        }
    }

    /// The same call by its source.
    fn eval(&self) -> Cmd {
        let source = self.script.source();
        let mut eval = Cmd::with_capacity(HEAD + self.numkeys, source.len() + USUAL_SIZE);
        eval.arg("EVAL").arg(source);
        for word in self.words().skip(2) {
            eval.arg(word);
        }
        eval
    }

    fn check_slots(&self) -> Result<()> {
        let mut keys = self.words().skip(HEAD).take(self.numkeys);
        let Some(first) = keys.next() else {
            return Ok(());
        };
        match keys.find(|key| slot(key) != slot(first)) {
            None => Ok(()),
            Some(second) => Err(Error::CrossSlot {
                first: String::from_utf8_lossy(first).into_owned(),
                second: String::from_utf8_lossy(second).into_owned(),
            }),
        }
    }

    fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.cmd.args_iter().map(|word| match word {
            Arg::Simple(bytes) => bytes,
            _ => &[],
        })
    }

    fn push_key(&mut self, key: &str) {
        debug_assert!(self.keys_bound() < self.numkeys, "{}: one key too many", self.script.name());
        let mut word = self.cmd.writer_for_next_arg();
        // Writing into memory does not fail.
        let _ = word.write_all(self.redis.prefix().as_bytes());
        let _ = word.write_all(key.as_bytes());
    }

    fn keys_bound(&self) -> usize {
        self.cmd.args_iter().len() - HEAD
    }

    #[cfg(debug_assertions)]
    fn expect(&mut self, name: &str, variadic: bool) {
        let contract = self.script.contract();
        let next = contract.keys.iter().chain(&contract.args).nth(self.bound);
        let next = next.map(|param| (param.name.as_str(), param.variadic));
        assert_eq!(Some((name, variadic)), next, "{}: bound out of order", self.script.name());
        self.bound += 1;
    }

    #[cfg(not(debug_assertions))]
    #[inline(always)]
    fn expect(&mut self, _name: &str, _variadic: bool) {}

    #[cfg(debug_assertions)]
    fn expect_all(&self) {
        let contract = self.script.contract();
        let names = contract.keys.len() + contract.args.len();
        assert_eq!(self.bound, names, "{}: names left unbound", self.script.name());
    }

    #[cfg(not(debug_assertions))]
    #[inline(always)]
    fn expect_all(&self) {}
}
