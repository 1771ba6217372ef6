//! What happens between two calls: the same call once more, a script cache that is emptied, a
//! server that restarts, and everybody at once.

#[path = "between/refresh.rs"]
mod refresh;
mod support;

use auth_adapter_redis::Redis;
use auth_adapter_redis::lock::{Acquire, Leases, Release};
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::{Call, Repeat, library};
use auth_adapter_redis::testing::{Data, Server};
use support::target::{own, own_with, shared};
use support::{LONG, comes_alive, holder, raw, raw_on, redis, redis_on, script};

/// In microseconds: what a rate limit takes to give one back.
const HOUR: u64 = 3_600_000_000;

/// A script as one of two callers calls it: those of locks on the key `lock`, those of sessions on one
/// user for a session of the caller's own.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    script: &'static str,
    who: char,
}

impl Step {
    /// One of each script of this crate, whoever is added; `between/refresh.rs` has those of tokens.
    fn all(who: char) -> Vec<Self> {
        let ours = library().iter().map(|script| script.name());
        ours.filter(|name| !name.starts_with("refresh/"))
            .map(|script| Self { script, who })
            .collect()
    }

    /// Those of locks and of the cache; `tests/session/repeat.rs` has the others.
    fn plain(who: char) -> Vec<Self> {
        let of_user = |step: &Self| step.script.starts_with("session/");
        Self::all(who).into_iter().filter(|step| !of_user(step)).collect()
    }

    /// Those that another holder calls otherwise.
    fn of_another(who: char) -> Vec<Self> {
        let args = |step: &Self| script(step.script).contract().args.iter();
        let all = Self::all(who).into_iter();
        all.filter(|step| args(step).any(|arg| arg.name == "holder")).collect()
    }

    async fn run(self, redis: &Redis) -> Value {
        let script = script(self.script);
        let (call, holder) = (script.call(redis), holder(self.who));
        let call = match self.script {
            "lock/acquire" | "lock/extend" => {
                call.key("lock", "lock").arg("holder", holder).arg("ttl", 60_000)
            }
            "lock/extend_many" => {
                let call = script.call_many(redis, 1).keys("lock", ["lock"]);
                call.args("holder", [(holder, 60_000)])
            }
            "lock/release" => call.key("lock", "lock").arg("holder", holder),
            "lock/inspect" => call.key("lock", "lock"),
            "cache/delete_many" => {
                script.call_many(redis, 2).keys("key", ["{k}cached", "{k}also cached"])
            }
            "rate/check" => {
                call.key("bucket", "{r}one").arg("spend", HOUR).arg("horizon", 2 * HOUR)
            }
            "rate/check_many" => {
                let call = script.call_many(redis, 2).keys("bucket", ["{r}one", "{r}two"]);
                call.args("quota", [HOUR, 2 * HOUR, HOUR, 3 * HOUR])
            }
            "rate/peek" => call.key("bucket", "{r}one").arg("horizon", 2 * HOUR),
            "rate/reset" => call.key("bucket", "{r}one"),
            _ => self.on_sessions(redis),
        };
        call.run().await.unwrap()
    }

    /// The same words each time, so that the second is a call that was resent.
    fn on_sessions(self, redis: &Redis) -> Call<'_> {
        let id = self.who.to_string();
        let nonce = id.repeat(32);
        let call = script(self.script).call_many(redis, 0).key("state", "{u}state");
        match self.script {
            "session/check" => call.arg("session", id).arg("nonce", nonce).arg("database", 1),
            "session/confirm" => {
                let call = call.arg("session", id).arg("version", "another").arg("asked", AGES);
                let call = call.arg("created", 1).arg("expires", AGES);
                call.arg("record", "r").arg("lasts", 300_000)
            }
            "session/create" => {
                let call = call.arg("session", id).arg("nonce", nonce).arg("created", 1);
                let call = call.arg("expires", AGES).arg("record", "r");
                call.arg("max", 1).arg("database", 0)
            }
            "session/fill" => {
                let call = call.arg("version", "another").arg("asked", AGES);
                let call = call.arg("lasts", 300_000).arg("complete", 300_000);
                call.args("session", [(id, 1, AGES, "r")])
            }
            "session/list" => call.arg("nonce", nonce).arg("database", 0),
            "session/touch" => call.arg("session", id).arg("debounce", AGES / 2).arg("database", 0),
            "session/revoke" => {
                let call = call.keys("also", []).arg("nonce", nonce);
                call.arg("longest", 60_000).args("session", [id])
            }
            "session/revoke_all" => call.keys("also", []).arg("nonce", nonce),
            "session/revoke_others" => call.keys("also", []).arg("stays", id).arg("nonce", nonce),
            other => panic!("say here how {other} is called"),
        }
    }
}

/// An instant far away, in epoch milliseconds.
const AGES: u64 = 1 << 43;

/// A reply without its times.
fn outcome(reply: &Value) -> String {
    match reply {
        // Of sessions: the outcome, and how many words go with it.
        Value::Array(items) if items.len() != 2 || matches!(items[1], Value::BulkString(_)) => {
            format!("{:?} and {} more", items[0], items.len() - 1)
        }
        Value::Int(int @ -1..=2) => int.to_string(),
        Value::Int(int) => (if *int > 0 { "a time" } else { "a wait" }).to_owned(),
        Value::Array(items) => items.iter().map(outcome).collect::<Vec<_>>().join(", "),
        other => format!("{other:?}"),
    }
}

/// All that the scripts can change: the lock, the time it has left, a cached value, and when two
/// buckets are full again.
#[derive(Debug, PartialEq)]
struct State {
    lock: Option<String>,
    left: i64,
    cached: Option<String>,
    buckets: [Option<String>; 2],
}

fn state(redis: &Redis) -> State {
    let text = |key| raw(redis, "GET", key, &[]).text().map(str::to_owned);
    State {
        lock: text("lock"),
        left: raw(redis, "PTTL", "lock", &[]).int().unwrap(),
        cached: text("{k}cached"),
        buckets: ["{r}one", "{r}two"].map(text),
    }
}

mod repeat {
    use super::*;

    /// What others can do between two executions of one call.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Nothing,
        Call(Step),
        Expires,
        ForeignLock,
        Cached,
    }

    impl Event {
        async fn happen(self, redis: &Redis) {
            match self {
                Self::Nothing => {}
                Self::Call(step) => drop(step.run(redis).await),
                Self::Expires => drop(raw(redis, "DEL", "lock", &[])),
                Self::ForeignLock => {
                    drop(raw(redis, "SET", "lock", &["theirs", "NX", "EX", "90"]));
                }
                Self::Cached => drop(raw(redis, "SET", "{k}cached", &["anew"])),
            }
        }
    }

    /// The second execution of `step` may free or keep what is the step's own, take what is free
    /// and delete a cached value once more. It leaves alone whatever came between. One that counts
    /// takes from the buckets once more, from all of its own or none, or fills its own once more.
    fn check(step: Step, before: &State, after: &State, story: &str) {
        let mine = holder(step.who);
        let free_or_mine = before.lock.is_none() || before.lock.as_deref() == Some(&*mine);
        let lock_may_change = match step.script {
            "lock/acquire" | "lock/release" => free_or_mine,
            _ => false,
        };
        if !lock_may_change {
            assert_eq!(before.lock, after.lock, "{story}");
        }
        if after.lock.is_some() && before.lock == after.lock {
            let slack = 5_000;
            assert!(after.left > before.left - slack, "shortened: {story}");
            if before.lock.as_deref() != Some(&*mine) {
                assert!(after.left <= before.left, "another's lease moved: {story}");
            }
        }
        if step.script != "cache/delete_many" {
            assert_eq!(before.cached, after.cached, "{story}");
        }
        let taken = [0, 1].map(|at| after.buckets[at] > before.buckets[at]);
        let moved = [0, 1].map(|at| after.buckets[at] != before.buckets[at]);
        match step.script {
            "rate/check" => assert!(moved == taken && !moved[1], "{story}"),
            "rate/check_many" => assert!(moved == taken && moved[0] == moved[1], "{story}"),
            "rate/reset" => assert!(after.buckets[0].is_none() && !moved[1], "{story}"),
            _ => assert_eq!(moved, [false; 2], "{story}"),
        }
    }

    /// What can happen between, of the scripts those of one noun: others have no key in common.
    fn events(step: Step) -> Vec<Event> {
        let noun = |step: Step| step.script.split_once('/').unwrap().0;
        let calls = Step::all('a').into_iter().chain(Step::of_another('b'));
        let calls = calls.filter(|&other| noun(other) == noun(step)).map(Event::Call);
        let events = [Event::Nothing, Event::Expires, Event::ForeignLock, Event::Cached];
        events.into_iter().chain(calls).collect()
    }

    /// Every script twice, with every two events between.
    #[tokio::test]
    async fn a_second_execution_undoes_nothing_that_came_between() {
        let first = redis().await;
        let mut stories = 0;
        for step in Step::plain('a') {
            let events = events(step);
            for one in &events {
                for two in &events {
                    for held in [false, true] {
                        stories += 1;
                        let prefix = format!("{}{stories}:", first.prefix());
                        let redis = first.clone().with_prefix(&prefix).unwrap();
                        if held {
                            let acquire = Step { script: "lock/acquire", who: 'a' };
                            acquire.run(&redis).await;
                        }
                        step.run(&redis).await;
                        one.happen(&redis).await;
                        two.happen(&redis).await;
                        let before = state(&redis);
                        step.run(&redis).await;
                        let after = state(&redis);
                        let story = format!("held {held}, {step:?}, {one:?}, {two:?}, again");
                        check(step, &before, &after, &story);
                    }
                }
            }
        }
        assert!(stories >= (5 * 13 * 13 + 4 * 8 * 8 + 5 * 5) * 2);
    }

    /// With nothing between, the second execution leaves the state as the first did, and says so
    /// in the same words, but for what is no longer there to be freed or deleted, and for what counts.
    #[tokio::test]
    async fn a_repeat_at_once_changes_nothing() {
        for step in Step::all('a') {
            for held in [false, true] {
                let redis = redis().await;
                if held {
                    Step { script: "lock/acquire", who: 'a' }.run(&redis).await;
                }
                raw(&redis, "SET", "{k}cached", &["once"]);
                let first = outcome(&step.run(&redis).await);
                let before = state(&redis);
                let second = outcome(&step.run(&redis).await);
                let after = state(&redis);
                assert_eq!((&before.lock, &before.cached), (&after.lock, &after.cached));
                if script(step.script).contract().repeat == Repeat::Same {
                    assert_eq!(before.buckets, after.buckets, "{step:?}");
                }
                match step.script {
                    "lock/release" | "cache/delete_many" | "rate/reset" => assert_eq!(second, "0"),
                    // It was no longer there to be ended.
                    "session/revoke" => assert!(second.ends_with(" and 0 more"), "{second}"),
                    _ => assert_eq!(first, second, "{step:?}"),
                }
            }
        }
    }
}

mod disturbed {
    use super::*;

    /// Two steps after each other, under a prefix of their own.
    struct Pair {
        steps: [Step; 2],
        redis: Redis,
    }

    /// Each step after each other one, by one holder and by two.
    fn pairs(redis: &Redis, prefix: &str) -> Vec<Pair> {
        let seconds = || Step::all('a').into_iter().chain(Step::of_another('b'));
        let firsts = Step::all('a').into_iter();
        let steps = firsts.flat_map(|one| seconds().map(move |two| [one, two]));
        let pair = |(at, steps)| {
            let redis = redis.clone().with_prefix(&format!("{prefix}{at}:")).unwrap();
            Pair { steps, redis }
        };
        steps.enumerate().map(pair).collect()
    }

    impl Pair {
        async fn first(&self) -> String {
            outcome(&self.steps[0].run(&self.redis).await)
        }

        async fn second(&self) -> String {
            outcome(&self.steps[1].run(&self.redis).await)
        }

        fn lock(&self, server: &Server) -> Option<String> {
            raw_on(server, &self.redis, "GET", "lock", &[]).text().map(str::to_owned)
        }
    }

    #[tokio::test]
    async fn a_script_flush_between_any_two_calls_does_not_show() {
        let server = own();
        let redis = redis_on(&server).await;
        for (quiet, disturbed) in pairs(&redis, "quiet").iter().zip(pairs(&redis, "disturbed")) {
            let expected = [quiet.first().await, quiet.second().await];
            let first = disturbed.first().await;
            server.flush_scripts().unwrap();
            let found = [first, disturbed.second().await];
            assert_eq!(found, expected, "{:?}", quiet.steps);
            assert_eq!(disturbed.lock(&server), quiet.lock(&server), "{:?}", quiet.steps);
        }
    }

    /// One restart between all the first steps and all the second ones.
    #[tokio::test]
    async fn a_restart_with_its_data_between_any_two_calls_does_not_show() {
        let server = own_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        let redis = redis_on(&server).await;
        let disturbed = pairs(&redis, "disturbed");
        let mut firsts = Vec::new();
        for pair in &disturbed {
            firsts.push(pair.first().await);
        }
        server.restart(Data::Kept);
        comes_alive(&redis).await;
        let quiet = pairs(&redis, "quiet");
        for ((quiet, disturbed), first) in quiet.iter().zip(&disturbed).zip(firsts) {
            let found = [first, disturbed.second().await];
            let expected = [quiet.first().await, quiet.second().await];
            assert_eq!(found, expected, "{:?}", quiet.steps);
            assert_eq!(disturbed.lock(&server), quiet.lock(&server), "{:?}", quiet.steps);
        }
    }
}

mod race {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_64_tasks_over_3_connections_exactly_one_wins_each_time() {
        let first = redis().await;
        let mut handles = vec![Leases::new(first.clone())];
        for _ in 0..2 {
            let next = support::patient(shared()).prefix(first.prefix()).build().unwrap();
            next.connected().await;
            handles.push(Leases::new(next));
        }
        for round in 0..1000 {
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..64 {
                let locks = handles[task % 3].clone();
                tasks.spawn(async move { locks.acquire("lock", LONG).await.unwrap() });
            }
            let mut winners = Vec::new();
            for outcome in tasks.join_all().await {
                match outcome {
                    Acquire::Acquired(token) => winners.push(token),
                    Acquire::Held { left: Some(_) } => {}
                    other => panic!("round {round}: {other:?}"),
                }
            }
            assert_eq!(winners.len(), 1, "round {round}");
            let freed = handles[round % 3].release("lock", &winners[0]).await.unwrap();
            assert_eq!(freed, Release::Freed);
        }
    }
}
