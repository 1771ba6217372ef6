//! The scripts of refresh tokens between two of their calls, on one session.

use std::collections::BTreeMap;

use auth_adapter_redis::Redis;
use auth_adapter_redis::redis::Value;
use auth_adapter_redis::script::library;
use auth_adapter_redis::testing::{Data, Reply};

use super::support::target::{Place, own, own_with, shared};
use super::support::{comes_alive, create_session, raw, raw_on, redis, redis_on, script};

const STATE: &str = "{k}state";
const FAMILY: [u8; 32] = [7; 32];
/// Of the session, in epoch milliseconds: in the year 2100.
const EXPIRES: u64 = 4_102_444_800_000;
/// What each token's hash is filled with: the first, its two successors, and one of the first of these.
const TOKENS: [u8; 4] = *b"0abc";

/// A script as one client calls it, or what else can happen to the session.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Issue,
    Lookup,
    /// The first token for one of its successors.
    Rotate(u8),
    /// The first of these for the last token.
    RotateOnce,
    Revoke,
    Nothing,
    Create,
    RevokeSession,
    Forget,
}

const CALLS: [Step; 6] = [
    Step::Issue,
    Step::Lookup,
    Step::Rotate(b'a'),
    Step::Rotate(b'b'),
    Step::RotateOnce,
    Step::Revoke,
];
const EVENTS: [Step; 4] = [Step::Nothing, Step::Create, Step::RevokeSession, Step::Forget];

impl Step {
    async fn run(self, redis: &Redis) -> Value {
        let about = |name| {
            let call = script(name).call(redis).key("state", STATE).arg("session", "phone");
            call.arg("family", &FAMILY[..])
        };
        let of = |name, generation, token| {
            about(name).arg("generation", generation).arg("token", &[token; 32][..])
        };
        let rotate = |generation, token, next| {
            let call = of("refresh/rotate", generation, token).arg("next", &[next; 32][..]);
            call.arg("payload", &[next][..]).arg("window", 30_000).arg("nonce", "a nonce")
        };
        let call = match self {
            Self::Issue => of("refresh/issue", 0, TOKENS[0]),
            Self::Lookup => of("refresh/lookup", 0, TOKENS[0]),
            Self::Rotate(next) => rotate(0, TOKENS[0], next),
            Self::RotateOnce => rotate(1, TOKENS[1], TOKENS[3]),
            Self::Revoke => about("refresh/revoke").arg("nonce", "a nonce"),
            Self::RevokeSession => {
                let call = script("session/revoke").call_many(redis, 0).key("state", STATE);
                let call = call.keys("also", []).arg("nonce", "another");
                call.arg("longest", 3_600_000).args("session", ["phone"])
            }
            Self::Create => {
                create_session(redis, STATE, "phone", EXPIRES).await.unwrap();
                return Value::Nil;
            }
            Self::Forget => {
                raw(redis, "DEL", STATE, &[]);
                return Value::Nil;
            }
            Self::Nothing => return Value::Nil,
        };
        call.run().await.unwrap()
    }

    /// The token that it is about.
    fn presents(self) -> u8 {
        if self == Self::RotateOnce { TOKENS[1] } else { TOKENS[0] }
    }
}

/// It has no length of a lineage.
fn is_tombstone(packed: &[u8]) -> bool {
    packed[6..8] == [255; 2]
}

type Fields = BTreeMap<Vec<u8>, Vec<u8>>;

fn fields(place: &impl Place, redis: &Redis) -> Fields {
    let reply = raw_on(place, redis, "HGETALL", STATE, &[]);
    let words: Vec<_> = reply.array().unwrap().iter().filter_map(Reply::bytes).collect();
    words.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect()
}

/// What two executions at different times differ in.
fn without_times(mut fields: Fields) -> Fields {
    fields.remove(&b"v"[..]);
    if let Some(packed) = fields.get_mut(&b"s:phone"[..])
        && !is_tombstone(packed)
    {
        packed[14..20].fill(0);
        if packed.len() > 112 {
            packed[30..42].fill(0);
        }
    }
    fields
}

/// A session, with its first token or without.
async fn begin(redis: &Redis, issued: bool) {
    Step::Create.run(redis).await;
    if issued {
        Step::Issue.run(redis).await;
    }
}

/// The second execution of `step` issues where there is no token, and rotates its own token where
/// that is current. It leaves alone whatever else came between.
fn check(step: Step, before: &Fields, after: &Fields, story: &str) {
    let lineage = before.get(&b"s:phone"[..]).filter(|packed| !is_tombstone(packed));
    let lineage = lineage.map(|packed| &packed[26..packed.len() - 8]);
    let current = lineage.filter(|lineage| !lineage.is_empty()).map(|lineage| lineage[48]);
    let may_change = match (step, lineage) {
        (_, None) | (Step::Lookup, _) => false,
        (Step::Issue, Some(lineage)) => lineage.is_empty(),
        (Step::Revoke, Some(_)) => current.is_some(),
        (_, Some(_)) => current == Some(step.presents()),
    };
    if !may_change {
        assert_eq!(before, after, "{story}");
    }
    let tombstones =
        before.iter().filter(|(name, value)| name.starts_with(b"s:") && is_tombstone(value));
    tombstones.for_each(|(name, kept)| assert_eq!(kept, &after[name], "{story}"));
}

#[tokio::test]
async fn a_second_execution_undoes_nothing_that_came_between() {
    let first = redis().await;
    let mut stories = 0;
    for step in CALLS {
        for one in CALLS.into_iter().chain(EVENTS) {
            for two in CALLS.into_iter().chain(EVENTS) {
                for issued in [false, true] {
                    stories += 1;
                    let prefix = format!("{}{stories}:", first.prefix());
                    let redis = first.clone().with_prefix(&prefix).unwrap();
                    begin(&redis, issued).await;
                    step.run(&redis).await;
                    one.run(&redis).await;
                    two.run(&redis).await;
                    let before = fields(shared(), &redis);
                    step.run(&redis).await;
                    let after = fields(shared(), &redis);
                    let story = format!("issued {issued}, {step:?}, {one:?}, {two:?}, again");
                    check(step, &before, &after, &story);
                }
            }
        }
    }
    assert_eq!(stories, 6 * 10 * 10 * 2);
}

#[tokio::test]
async fn a_repeat_at_once_changes_nothing_and_says_the_same() {
    for step in CALLS {
        for issued in [false, true] {
            let redis = redis().await;
            begin(&redis, issued).await;
            let first = step.run(&redis).await;
            let before = fields(shared(), &redis);
            let second = step.run(&redis).await;
            assert_eq!(fields(shared(), &redis), before, "{step:?}");
            match step {
                Step::Revoke if issued => assert_eq!(second, Value::BulkString(b"revoked".into())),
                _ => assert_eq!(first, second, "{step:?}"),
            }
        }
    }
}

/// Each two calls after each other, each pair on a session of its own.
fn pairs(redis: &Redis, prefix: &str) -> Vec<([Step; 2], Redis)> {
    let pairs = CALLS.into_iter().flat_map(|one| CALLS.map(|two| [one, two])).enumerate();
    pairs
        .map(|(at, steps)| (steps, redis.clone().with_prefix(&format!("{prefix}{at}:")).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_script_flush_between_any_two_calls_does_not_show() {
    let server = own();
    let redis = redis_on(&server).await;
    let (quiet, disturbed) = (pairs(&redis, "quiet"), pairs(&redis, "disturbed"));
    for ((steps, quiet), (_, disturbed)) in quiet.iter().zip(&disturbed) {
        begin(quiet, true).await;
        begin(disturbed, true).await;
        for step in steps {
            server.flush_scripts().unwrap();
            let found = step.run(disturbed).await;
            assert_eq!(found, step.run(quiet).await, "{steps:?}");
        }
        let found = without_times(fields(&server, disturbed));
        assert_eq!(found, without_times(fields(&server, quiet)), "{steps:?}");
    }
}

/// One restart between all the first calls and all the second ones.
#[tokio::test]
async fn a_restart_with_its_data_between_any_two_calls_does_not_show() {
    let server = own_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let redis = redis_on(&server).await;
    library().load(&redis).await.unwrap();
    let (quiet, disturbed) = (pairs(&redis, "quiet"), pairs(&redis, "disturbed"));
    let mut firsts = Vec::new();
    for (steps, disturbed) in &disturbed {
        begin(disturbed, true).await;
        firsts.push(steps[0].run(disturbed).await);
    }
    server.restart(Data::Kept);
    comes_alive(&redis).await;
    for (at, (steps, quiet)) in quiet.iter().enumerate() {
        begin(quiet, true).await;
        let found = [firsts[at].clone(), steps[1].run(&disturbed[at].1).await];
        let expected = [steps[0].run(quiet).await, steps[1].run(quiet).await];
        assert_eq!(found, expected, "{steps:?}");
        let found = without_times(fields(&server, &disturbed[at].1));
        assert_eq!(found, without_times(fields(&server, quiet)), "{steps:?}");
    }
}
