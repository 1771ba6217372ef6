//! A server of a test's own, what is there before its fault, and the calls while that lasts.

use std::time::{Duration, Instant};

use auth_adapter_redis::circuit::CircuitState;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::{Proxy, Reply, Server, ServerBuilder};
use auth_adapter_redis::{Cache, CacheAdapter, Redis, Sessions};

use crate::PATIENT;
use crate::answer::Answer;
use crate::kept::Kept;
use crate::operations::{self, Operation};
use crate::page::Row;
use crate::support::{HANG, LONG, SLACK, comes_alive, quick, until};
use crate::world::World;

/// What is called first, at a key of that name.
const FIRST: &str = "cache/set";
/// By which its connections are known.
const CLIENT: &str = "table";

pub struct Stage {
    pub server: Server,
    proxy: Option<Proxy>,
    pub redis: Redis,
    pub world: World,
    pub kept: Kept,
    deadline: Duration,
}

/// What the operations came to.
pub struct Found {
    answers: Vec<(Operation, Answer)>,
    /// What the first call came to.
    begun: Answer,
    longest: Duration,
}

/// How a server and a handle are made.
pub struct Setting {
    server: ServerBuilder,
    deadline: Duration,
    login: &'static str,
    has_proxy: bool,
    sessions: fn(Sessions) -> Sessions,
}

impl Setting {
    /// A server, and a handle with this call deadline.
    pub fn new(deadline: Duration) -> Self {
        let sessions = |sessions| sessions;
        let (server, login, has_proxy) = (Server::builder(), "", false);
        Self { server, deadline, login, has_proxy, sessions }
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.server = self.server.args(args);
        self
    }

    pub fn restarting_unready(mut self) -> Self {
        self.server = self.server.wait_until_ready(false);
        self
    }

    pub fn behind_proxy(mut self) -> Self {
        self.has_proxy = true;
        self
    }

    /// By a user that this line names, with the password `pw`.
    pub fn by_user(mut self, line: &str) -> Self {
        self.server = self.server.acl(line);
        self.login = "auth:pw@";
        self
    }

    pub fn sessions(mut self, sessions: fn(Sessions) -> Sessions) -> Self {
        self.sessions = sessions;
        self
    }

    pub async fn start(self) -> Stage {
        let server = self.server.start().unwrap_or_else(|error| panic!("{error}"));
        let proxy = self.has_proxy.then(|| Proxy::to(&server).unwrap());
        let url = proxy.as_ref().map_or_else(|| server.url(), Proxy::url);
        let url = url.replace("://", &format!("://{}", self.login));
        let redis = quick(url).call_deadline(self.deadline).client_name(CLIENT).build().unwrap();
        redis.connected().await;
        // What a call comes to is not to depend on those before it.
        let patient = redis.clone().with_call_deadline(PATIENT).unwrap();
        library().load(&patient).await.unwrap();
        drop(patient);
        let world = World::new(&redis.clone().with_prefix("before:").unwrap()).await;
        let kept = Kept::new(&redis, self.sessions).await;
        Stage { server, proxy, redis, world, kept, deadline: self.deadline }
    }
}

impl Stage {
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("it was started behind one")
    }

    /// Sends a command of an operator, which must not be refused.
    #[track_caller]
    pub fn tell(&self, words: &[&str]) -> Reply {
        let reply = self.server.command(words).unwrap();
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
        reply
    }

    /// Calls each operation, each in time, of a fault for which no circuit opens.
    pub async fn call_all(&self) -> Found {
        let found = self.call_all_after(async |_| {}).await;
        assert!(self.is_closed(), "{:?}", self.redis.circuits().borrow());
        found
    }

    /// The same of one for which it does, by the first call at the latest.
    pub async fn call_all_away(&self) -> Found {
        let found = self.call_all_after(async |_| {}).await;
        assert!(!self.is_closed(), "{:?}", self.redis.circuits().borrow());
        found.folded()
    }

    /// The same of any fault, after this was done for each.
    pub async fn call_all_after(&self, before: impl AsyncFn(&Operation)) -> Found {
        call_all(&self.world, self.deadline, before).await
    }

    /// After the fault: the handle comes to life by itself, what was not deleted is made up for and not
    /// read before, nothing that was sent is executed after what is sent then, and every operation is right
    /// again.
    pub async fn recovers(&self) {
        let deleted = ["adapter/delete", "adapter/delete_many", "adapter/delete_many2"];
        let began = Instant::now();
        while self.owes() || !self.is_closed() {
            for key in deleted {
                assert_eq!(self.world.adapter.get(key).await, None, "{key} was to be deleted");
            }
            assert!(began.elapsed() < HANG, "{:?}", self.world.adapter.health());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        comes_alive(&self.redis).await;
        let patient = self.redis.clone().with_call_deadline(PATIENT).unwrap();
        let cache = Cache::new(patient.clone().with_prefix("before:").unwrap());
        cache.set(FIRST, "later", LONG).await.unwrap();
        assert!(deleted.iter().all(|key| !self.has(key)));
        let after = World::new(&patient.with_prefix("after:").unwrap()).await;
        for (operation, answer) in call_all(&after, PATIENT, async |_| {}).await.answers {
            assert_eq!(answer, Answer::Right, "{} afterwards", operation.name);
        }
        assert!(self.is_closed(), "{:?}", self.redis.circuits().borrow());
        assert_eq!(cache.get(FIRST).await.unwrap().as_deref(), Some("later"));
    }

    /// What is freed in the background is freed in the end.
    pub async fn frees(&self) {
        self.world.drop_guards();
        for key in [
            &self.world.held,
            "guard/extend",
            "guard/release",
            "guard/try_acquire",
            "guard/acquire",
        ] {
            until(|| !self.has(key)).await;
        }
    }

    /// No connection is left, and no server.
    pub async fn ends(self) {
        let Self { server, proxy, redis, world, kept, .. } = self;
        world.drop_guards();
        world.locks.close(HANG).await.unwrap();
        drop((world, kept, redis));
        let named = format!(" name={CLIENT} ");
        let list = || server.command(&["CLIENT", "LIST"]).unwrap();
        until(|| !list().text().expect("a list").contains(&named)).await;
        drop(proxy);
        let pid = rustix::process::Pid::from_raw(server.pid().cast_signed());
        drop(server);
        assert!(rustix::process::test_kill_process(pid.unwrap()).is_err(), "its process is gone");
    }

    /// Waits until calls go to the server.
    pub async fn closes(&self) {
        until(|| self.is_closed()).await;
    }

    fn is_closed(&self) -> bool {
        self.redis.circuits().borrow().state() == CircuitState::Closed
    }

    /// Whether deletes are still to be made up for.
    fn owes(&self) -> bool {
        let health = self.world.adapter.health();
        health.deletes_pending > 0 || !health.patterns_pending.is_empty()
    }

    /// Whether what the operations have at this key is there.
    pub fn has(&self, key: &str) -> bool {
        self.tell(&["EXISTS", &format!("before:{key}")]).int() == Some(1)
    }
}

async fn call_all(world: &World, deadline: Duration, before: impl AsyncFn(&Operation)) -> Found {
    let (mut answers, mut longest) = (Vec::new(), Duration::ZERO);
    for operation in operations::all() {
        before(&operation).await;
        // The reconnect loop is in the same thread, and calls that fail at once leave it no turn.
        tokio::task::yield_now().await;
        let began = Instant::now();
        let answer = tokio::time::timeout(HANG, operation.call(world)).await;
        let took = began.elapsed();
        let answer = answer.unwrap_or_else(|_| panic!("{} hangs", operation.name));
        assert!(took < deadline + operation.waits + SLACK, "{}: {took:?}", operation.name);
        // It is a call for each script.
        if operation.name != "script/load" {
            longest = longest.max(took.saturating_sub(operation.waits));
        }
        answers.push((operation, answer));
    }
    let begun = answers[0].1.clone();
    Found { answers, begun, longest }
}

impl Found {
    /// Of a fault that leaves the first call without an answer: whether it was executed is not known.
    pub fn begun_in_vain(self) -> Self {
        let (first, _) = &self.answers[0];
        assert!(first.name == FIRST && self.begun == Answer::Unknown, "{:?}", self.begun);
        self
    }

    /// Of a fault by which the circuit opens, before some call or after it.
    pub fn folded(mut self) -> Self {
        for (_, answer) in &mut self.answers {
            *answer = answer.clone().folded();
        }
        self
    }

    /// Where this server answers one of them so, and later versions as on the page.
    pub fn but_for_6_2(mut self, stage: &Stage, name: &str, here: Answer, later: Answer) -> Self {
        let (_, answer) =
            self.answers.iter_mut().find(|(of, _)| of.name == name).expect("it was called");
        if stage.server.version() < (7, 0, 0) {
            assert_eq!(std::mem::replace(answer, later), here, "{name}");
        }
        self
    }

    /// Compares them with the page: how the fault came about, and what held afterwards.
    pub fn stand_in_row(self, fault: &'static str, how: &'static str, afterwards: &'static str) {
        Row { fault, how, afterwards, answers: self.answers, longest: self.longest }.settle();
    }
}
