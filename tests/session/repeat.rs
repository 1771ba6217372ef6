//! Every script twice, with every two events between, as a resent call would be executed.

use super::*;
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::library;
use std::collections::BTreeMap;

/// A script as it is called for one of two sessions, each time with the same words.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    script: &'static str,
    who: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    Evicted,
    Call(Step),
}

fn steps(who: &'static str) -> impl Iterator<Item = Step> {
    let all = library().iter().map(|script| script.name());
    all.filter(|name| name.starts_with("session/")).map(move |script| Step { script, who })
}

/// A prefix of its own, and what was asked there at first.
struct Story {
    store: Store,
    version: String,
    asked: String,
}

impl Story {
    async fn begin(redis: &Redis, at: usize, full: bool) -> Self {
        let redis = redis.clone().with_prefix(&format!("{}{at}:", redis.prefix())).unwrap();
        let store = Store::on(redis).max(2);
        if full {
            store.fill(&[row("old", 20), row("a", 10)]).await;
        }
        let shown = format!("{:?}", store.version("nobody").await);
        let (version, asked) = shown["Version(".len()..shown.len() - 1].split_once(", ").unwrap();
        Self { version: version.to_owned(), asked: asked.to_owned(), store }
    }

    async fn run(&self, step: Step) -> Value {
        let (script, redis) = (support::script(step.script), &self.store.redis);
        let nonce = step.who.repeat(32);
        let row = row(step.who, if step.who == "a" { 10 } else { 5 });
        let times = (row.created.as_millis(), row.expires.as_millis());
        let call = script.call_many(redis, 0).key("state", &self.store.state());
        let call = match step.script {
            "session/check" => call.arg("session", step.who).arg("nonce", nonce).arg("database", 1),
            "session/confirm" => {
                let call = call.arg("session", step.who).arg("version", &self.version);
                let call = call.arg("asked", &self.asked).arg("created", times.0);
                call.arg("expires", times.1).arg("record", "r").arg("lasts", 300_000)
            }
            "session/create" => {
                let call = call.arg("session", step.who).arg("nonce", nonce);
                let call = call.arg("created", times.0).arg("expires", times.1);
                call.arg("record", "r").arg("max", 2).arg("database", 1)
            }
            "session/fill" => {
                let call = call.arg("version", &self.version).arg("asked", &self.asked);
                let call = call.arg("lasts", 300_000).arg("complete", 300_000);
                call.args("session", [(step.who, times.0, times.1, "r")])
            }
            "session/list" => call.arg("nonce", nonce).arg("database", 1),
            "session/touch" => {
                call.arg("session", step.who).arg("debounce", 25_000).arg("database", 1)
            }
            "session/revoke" => {
                let call = call.keys("also", []).arg("nonce", nonce);
                call.arg("longest", 3_600_000).args("session", [step.who])
            }
            "session/revoke_all" => call.keys("also", []).arg("nonce", nonce),
            "session/revoke_others" => {
                call.keys("also", []).arg("stays", step.who).arg("nonce", nonce)
            }
            other => panic!("say here how {other} is called"),
        };
        call.run().await.unwrap()
    }

    async fn happens(&self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::Evicted => drop(self.store.raw("DEL", &[])),
            Event::Call(step) => drop(self.run(step).await),
        }
    }

    fn fields(&self) -> BTreeMap<String, Vec<u8>> {
        let text = |name: Vec<u8>| String::from_utf8(name).unwrap();
        self.store.fields().into_iter().map(|(name, value)| (text(name), value)).collect()
    }
}

/// What a second execution may and may not do to what came between.
fn check(
    step: Step,
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
    evicted: bool,
    told: &str,
) {
    let me = |name: &str| name[2..] == *step.who;
    for (name, value) in before {
        if !name.starts_with("s:") {
            continue;
        }
        match (is_tombstone(value), after.get(name)) {
            (true, Some(same)) => assert_eq!(value, same, "{told}: {name}"),
            (true, None) => panic!("{told}: {name} is gone"),
            (false, Some(same)) if !is_tombstone(same) => {}
            (false, _) => {
                let may = match step.script {
                    "session/revoke" => me(name),
                    // Their mark went with the hash.
                    "session/revoke_all" => evicted,
                    "session/revoke_others" => evicted && !me(name),
                    // Whom a fill has brought since.
                    "session/create" => !me(name),
                    _ => false,
                };
                assert!(may, "{told}: {name} is gone");
            }
        }
    }
    let reads = ["session/check", "session/list", "session/touch"];
    if reads.contains(&step.script) && before.contains_key("v") {
        assert_eq!(before, after, "{told}");
    }
}

/// Every two events, but those that only read with nothing beside them.
fn pairs() -> Vec<[Event; 2]> {
    let reads = |step: &Step| ["check", "list", "touch"].contains(&&step.script[8..]);
    let (reading, writing): (Vec<_>, Vec<_>) = steps("a").chain(steps("b")).partition(reads);
    let mut events = vec![Event::Nothing, Event::Evicted];
    events.extend(writing.into_iter().map(Event::Call));
    let twos = events.iter().flat_map(|&one| events.iter().map(move |&two| [one, two]));
    let ones = reading.into_iter().map(|step| [Event::Call(step), Event::Nothing]);
    twos.chain(ones).collect()
}

#[tokio::test]
async fn a_second_execution_undoes_nothing_that_came_between() {
    let redis = support::redis().await;
    let mut stories = 0;
    for step in steps("a") {
        for [one, two] in pairs() {
            for full in [false, true] {
                stories += 1;
                let story = Story::begin(&redis, stories, full).await;
                let told = format!("full {full}, {step:?}, {one:?}, {two:?}, again");
                story.run(step).await;
                story.happens(one).await;
                story.happens(two).await;
                let before = story.fields();
                let active = matches!(story.store.check("a").await, Check::Active(_));
                story.run(step).await;
                let evicted = [one, two].iter().any(|event| matches!(event, Event::Evicted));
                check(step, &before, &story.fields(), evicted, &told);
                assert_ne!(story.store.pttl(), -1, "{told}: it has no end");
                let revoked = |event: &Event| match event {
                    Event::Call(Step { script: "session/revoke", who }) => *who == "a",
                    Event::Call(Step { script: "session/revoke_all", .. }) => true,
                    Event::Call(Step { script: "session/revoke_others", who }) => *who != "a",
                    _ => false,
                };
                if !active && [one, two].iter().any(revoked) {
                    let check = story.store.check("a").await;
                    assert!(!matches!(check, Check::Active(_)), "{told}: {check:?}");
                }
            }
        }
    }
    assert_eq!(stories, 9 * (14 * 14 + 6) * 2);
}

/// With nothing between, the second says the same and changes nothing but the version.
#[tokio::test]
async fn a_repeat_at_once_says_the_same() {
    let redis = support::redis().await;
    for (at, step) in steps("a").chain(steps("b")).enumerate() {
        for full in [false, true] {
            let story = Story::begin(&redis, at * 2 + usize::from(full), full).await;
            let words = |reply: Value| match reply {
                // Without the time, and those in any order.
                Value::Array(mut words) => {
                    words.retain(|word| !matches!(word, Value::Int(_)));
                    words[1..].sort_by_key(|word| format!("{word:?}"));
                    Value::Array(words)
                }
                other => other,
            };
            let first = words(story.run(step).await);
            let before = story.fields();
            let second = words(story.run(step).await);
            let mut after = story.fields();
            if step.script == "session/revoke" {
                // It was no longer known.
                assert_eq!(second, Value::Array(vec![Value::BulkString(b"ended".to_vec())]));
                after.insert("v".to_owned(), before["v"].clone());
            } else {
                assert_eq!(first, second, "{step:?}");
            }
            assert_eq!(before, after, "{step:?}");
        }
    }
}

#[tokio::test]
async fn who_logs_in_after_all_were_revoked_is_left_alone_by_its_repeat() {
    for script in ["session/revoke_all", "session/revoke_others"] {
        let story = Story::begin(&support::redis().await, 0, true).await;
        let revoke = Step { script, who: "x" };
        story.run(revoke).await;
        story.store.login(&row("new", 0)).await;
        story.store.revoke(&["another"]).await;
        let again = story.run(revoke).await;
        let Value::Array(again) = again else { panic!("{again:?}") };
        assert_eq!(again.len(), 3, "the same two as at first");
        assert!(matches!(story.store.check("new").await, Check::Active(_)), "{script}");
    }
}
