//! What happens between two calls: the same call once more, a script cache that is emptied, a
//! server that restarts, and everybody at once.

#[path = "between/refresh.rs"]
mod refresh;
#[path = "between/step.rs"]
mod step;
mod support;

use auth_adapter_redis::Redis;
use auth_adapter_redis::lock::{Acquire, Leases, Release};
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::Repeat;
use auth_adapter_redis::testing::{Data, Server};
use step::{Step, beside, place};
use support::target::{Kind, kind, own, own_with, shared};
use support::{LONG, comes_alive, holder, raw, raw_on, redis, redis_on, script};

/// A reply without its times.
fn outcome(reply: &Value) -> String {
    match reply {
        Value::Array(items) if matches!(items[..], [Value::Int(_), ..]) => {
            items.iter().map(outcome).collect::<Vec<_>>().join(", ")
        }
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

/// All that the scripts can change: the lock, the time it has left, its last fence and its queue, a cached
/// value, a fenced one, and when two buckets are full again.
#[derive(Debug, PartialEq)]
struct State {
    lock: Option<String>,
    left: i64,
    /// The last fence, and whose it is.
    counter: Option<(u64, String)>,
    /// Who waits, in order.
    queue: Vec<String>,
    cached: Option<String>,
    resource: Option<String>,
    buckets: [Option<String>; 2],
}

fn state(redis: &Redis) -> State {
    let text = |key: &str| raw(redis, "GET", key, &[]).text().map(str::to_owned);
    let queue = raw(redis, "ZRANGE", &beside(redis, "queue"), &["0", "-1"]);
    let queue = queue.array().unwrap().iter().map(|place| place.text().unwrap().to_owned());
    let counted = text(&beside(redis, "fence")).map(|counted| {
        let (number, whose) = counted.split_once(':').unwrap();
        (number.parse().unwrap(), whose.to_owned())
    });
    State {
        lock: text("lock"),
        counter: counted,
        queue: queue.collect(),
        left: raw(redis, "PTTL", "lock", &[]).int().unwrap(),
        cached: text("{k}cached"),
        resource: text("{f}resource"),
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
        let granted = match &after.lock {
            Some(now) if before.lock != after.lock => place(now),
            _ => String::new(),
        };
        let lock_may_change = match step.script {
            "lock/acquire" | "lock/acquire_fenced" | "lock/release" => free_or_mine,
            "lock/join" | "lock/hand_over" | "lock/leave" => free_or_mine,
            // From whom it was to steal, and has not stolen before.
            "lock/steal" => before.lock.as_deref() == Some("theirs") && before.counter.is_none(),
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
        let mints = matches!(step.script, "lock/acquire_fenced" | "lock/steal");
        let counted_mine = before.counter.as_ref().is_some_and(|(_, whose)| *whose == mine);
        if !mints || counted_mine || after.lock.as_deref() != Some(&*mine) {
            assert_eq!(before.counter, after.counter, "{story}");
        } else {
            assert!(before.counter < after.counter, "{story}");
        }
        // Of the others in the queue only one leaves it, who is granted the lock, and all keep their order.
        let others = |state: &State| -> Vec<String> {
            let places = state.queue.iter().filter(|&at| *at != place(&mine) && *at != granted);
            places.cloned().collect()
        };
        assert_eq!(others(before), others(after), "{story}");
        if !matches!(step.script, "lock/join" | "lock/hand_over" | "lock/leave") {
            assert_eq!(before.queue, after.queue, "{story}");
        }
        assert_eq!(before.resource, after.resource, "{story}");
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

    /// What can happen between, of the scripts those of one noun that change something: others have no key
    /// in common.
    fn events(step: Step) -> Vec<Event> {
        let noun = |step: Step| step.script.split_once('/').unwrap().0;
        let next = Step { script: "fence/check_and_set", who: 'c' };
        let calls = Step::all('a').into_iter().chain(Step::of_another('b')).chain([next]);
        let reads =
            |other: Step| other.script.ends_with("peek") || other.script.ends_with("inspect");
        let calls = calls.filter(|&other| noun(other) == noun(step) && !reads(other));
        let others: &[Event] = match noun(step) {
            "lock" => &[Event::Nothing, Event::Expires, Event::ForeignLock],
            "cache" => &[Event::Nothing, Event::Cached],
            _ => &[Event::Nothing],
        };
        others.iter().copied().chain(calls.map(Event::Call)).collect()
    }

    fn is_alone() -> bool {
        matches!(kind(), Kind::Standalone)
    }

    /// This script twice, with every two events between: how many stories that makes. What a script does
    /// is the same on any server, so that elsewhere than on one alone there is one event between.
    async fn tell_all(step: Step, first: Redis) -> usize {
        let acquire = Step { script: "lock/acquire", who: 'a' };
        let events = events(step);
        let seconds = if is_alone() { &events[..] } else { &[Event::Nothing] };
        let mut stories = 0;
        for one in &events {
            for two in seconds {
                for held in [None, Some('a'), Some('f')] {
                    stories += 1;
                    let prefix = format!("{}{}:{stories}:", first.prefix(), step.script);
                    let redis = first.clone().with_prefix(&prefix).unwrap();
                    match held {
                        Some('a') => drop(acquire.run(&redis).await),
                        Some(_) => Event::ForeignLock.happen(&redis).await,
                        None => {}
                    }
                    step.run(&redis).await;
                    one.happen(&redis).await;
                    two.happen(&redis).await;
                    let before = state(&redis);
                    step.run(&redis).await;
                    let after = state(&redis);
                    let story = format!("held {held:?}, {step:?}, {one:?}, {two:?}, again");
                    check(step, &before, &after, &story);
                }
            }
        }
        stories
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_second_execution_undoes_nothing_that_came_between() {
        let redis = redis().await;
        let mut scripts = tokio::task::JoinSet::new();
        for step in Step::plain('a') {
            scripts.spawn(tell_all(step, redis.clone()));
        }
        let stories: usize = scripts.join_all().await.into_iter().sum();
        assert!(
            !is_alone() || stories >= (11 * 20 * 20 + 4 * 4 * 4 + 4 * 4 + 3 * 3) * 3,
            "{stories}"
        );
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
                assert_eq!((&before.counter, &before.resource), (&after.counter, &after.resource));
                if script(step.script).contract().repeat == Repeat::Same {
                    assert_eq!(before.buckets, after.buckets, "{step:?}");
                }
                match step.script {
                    "lock/release" | "lock/hand_over" | "lock/leave" => assert_eq!(second, "0"),
                    "cache/delete_many" | "rate/reset" => assert_eq!(second, "0"),
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
