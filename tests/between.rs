//! What happens between two calls: the same call once more, a script cache that is emptied, a
//! server that restarts, and everybody at once.

mod support;

use auth_adapter_redis::lock::{Acquire, Release};
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::{Data, Server};
use auth_adapter_redis::{Locks, Redis};
use support::target::{own, own_with, shared};
use support::{LONG, comes_alive, holder, raw, raw_on, redis, redis_on, script};

/// A script as one of two holders calls it, on the key `lock`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    script: &'static str,
    who: char,
}

impl Step {
    /// One of each script of this crate, whoever is added.
    fn all(who: char) -> Vec<Self> {
        library().iter().map(|script| Self { script: script.name(), who }).collect()
    }

    async fn run(self, redis: &Redis) -> Value {
        let script = script(self.script);
        let (call, holder) = (script.call(redis), holder(self.who));
        let call = match self.script {
            "lock/acquire" | "lock/extend" => {
                call.key("lock", "lock").arg("holder", holder).arg("ttl", 60_000)
            }
            "lock/release" => call.key("lock", "lock").arg("holder", holder),
            "lock/inspect" => call.key("lock", "lock"),
            "cache/delete_many" => {
                script.call_many(redis, 2).keys("key", ["{k}cached", "{k}also cached"])
            }
            other => panic!("say here how {other} is called"),
        };
        call.run().await.unwrap()
    }
}

/// A reply without its times.
fn outcome(reply: &Value) -> String {
    match reply {
        Value::Int(int @ -1..=2) => int.to_string(),
        Value::Int(_) => "milliseconds".to_owned(),
        Value::Array(items) => format!("{:?}, milliseconds", items[0]),
        other => format!("{other:?}"),
    }
}

/// All that the scripts can change: the lock, the time it has left, and a cached value.
#[derive(Debug, PartialEq)]
struct State {
    lock: Option<String>,
    left: i64,
    cached: Option<String>,
}

fn state(redis: &Redis) -> State {
    let text = |key| raw(redis, "GET", key, &[]).text().map(str::to_owned);
    State {
        lock: text("lock"),
        left: raw(redis, "PTTL", "lock", &[]).int().unwrap(),
        cached: text("{k}cached"),
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
    /// and delete a cached value once more. It leaves alone whatever came between.
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
    }

    /// Every script twice, with every two events between.
    #[tokio::test]
    async fn a_second_execution_undoes_nothing_that_came_between() {
        let mut events = vec![Event::Nothing, Event::Expires, Event::ForeignLock, Event::Cached];
        events.extend(Step::all('a').into_iter().chain(Step::all('b')).map(Event::Call));
        let first = redis().await;
        let mut stories = 0;
        for step in Step::all('a') {
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
        assert!(stories >= 5 * 14 * 14 * 2);
    }

    /// With nothing between, the second execution leaves the state as the first did, and says so
    /// in the same words, but for what is no longer there to be freed or deleted.
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
                match step.script {
                    "lock/release" | "cache/delete_many" => assert_eq!(second, "0"),
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
        let seconds = || Step::all('a').into_iter().chain(Step::all('b'));
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
        let mut handles = vec![Locks::new(first.clone())];
        for _ in 0..2 {
            let next = support::patient(shared()).prefix(first.prefix()).build().unwrap();
            next.connected().await;
            handles.push(Locks::new(next));
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
