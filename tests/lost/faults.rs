//! What becomes of a reply, and of its call.

use std::time::{Duration, Instant};

use auth_adapter_redis::Error;
use auth_adapter_redis::testing::Proxy;

use super::operation::{After, Noun, Operation};
use super::stage::{Sound, Stage};
use super::support::{HANG, SLACK, comes_alive, until};

/// How long a call may take that is to have no reply.
const DEADLINE: Duration = Duration::from_millis(200);

/// The reply is lost with its connection: the call is sent again on the next one.
pub async fn dropped<N: Noun>() {
    broken_once::<N>(Proxy::drop_reply_to).await;
}

/// The same after half of the first line.
pub async fn halved<N: Noun>() {
    broken_once::<N>(Proxy::half_reply_to).await;
}

async fn broken_once<N: Noun>(break_reply_to: fn(&Proxy, &str)) {
    let stage = Stage::new(HANG).await;
    for operation in N::OPERATIONS {
        let sound = stage.sound::<N>(operation).await;
        let noun: N = stage.prepared(operation).await;
        break_reply_to(stage.proxy(), &operation.request());
        sent_again(&stage, operation, &sound, &noun).await;
    }
}

/// The server had to be told the script first, and that reply is lost.
pub async fn dropped_with_its_source<N: Noun>() {
    let stage = Stage::new(HANG).await;
    for operation in N::OPERATIONS.iter().filter(|operation| operation.is_script()) {
        let sound = stage.sound::<N>(operation).await;
        let noun: N = stage.prepared(operation).await;
        stage.own.flush_scripts().unwrap();
        stage.proxy().drop_reply_to("\r\nEVAL\r\n");
        sent_again(&stage, operation, &sound, &noun).await;
        stage.load().await;
    }
}

async fn sent_again<N: Noun>(stage: &Stage, operation: &Operation, sound: &Sound, noun: &N) {
    let lost = stage.proxy().stats().lost_bytes;
    let said = noun.call(operation).await.unwrap();
    assert!(stage.proxy().stats().lost_bytes > lost, "{operation}: there was no such reply");
    assert_eq!(said, operation.says[1], "{operation}");
    sound.check(operation, noun, 2);
}

/// The reply to what is sent again is lost too.
pub async fn dropped_twice<N: Noun>() {
    // Without an answer to PING there is no connection, and that call takes all of its time.
    let stage = Stage::new(HANG / 10).await;
    for operation in N::OPERATIONS {
        let sound = stage.sound::<N>(operation).await;
        let noun: N = stage.prepared(operation).await;
        let executed = executions(&stage, operation);
        stage.proxy().drop_replies_to(&operation.request());
        unknown(operation, noun.call(operation).await);
        stage.proxy().pass();
        assert!(executions(&stage, operation) >= executed + 2, "{operation} was not sent again");
        settles(operation, &sound, &noun, 2).await;
        comes_alive(&stage.caller).await;
        assert_eq!(noun.call(operation).await.unwrap(), operation.says[2], "{operation}, again");
        if operation.after == After::Nothing {
            sound.check(operation, &noun, 3);
        }
    }
}

/// The connection stays, and nothing comes over it: the call ends at its deadline.
pub async fn silenced<N: Noun>() {
    let stage = Stage::new(DEADLINE).await;
    for operation in N::OPERATIONS {
        let sound = stage.sound::<N>(operation).await;
        let noun: N = stage.prepared(operation).await;
        stage.proxy().silence_replies();
        let began = Instant::now();
        let said = noun.call(operation).await;
        let took = began.elapsed();
        assert!(took < DEADLINE * 2 + SLACK, "{operation} took {took:?}");
        unknown(operation, said);
        if operation.after == After::Nothing {
            until(|| noun.state() == sound.once()).await;
        }
        stage.proxy().pass();
        comes_alive(&stage.caller).await;
        settles(operation, &sound, &noun, 1).await;
        let next = operation.says[if operation.counts() { 1 } else { 2 }];
        assert_eq!(noun.call(operation).await.unwrap(), next, "{operation}, again");
    }
}

/// The call is held back until its caller has given it up and has another connection, and others have
/// changed what it would change.
pub async fn late<N: Noun>() {
    let stage = Stage::new(DEADLINE).await;
    for operation in N::OPERATIONS.iter().filter(|operation| operation.writes) {
        stage.sound_after_others::<N>(operation).await;
        let sound = stage.sound::<N>(operation).await;
        let noun: N = stage.prepared(operation).await;
        let open = stage.proxy().stats().open;
        stage.proxy().freeze_present();
        unknown(operation, noun.call(operation).await);
        assert!(stage.proxy().held_bytes() > 0, "{operation} is on its way");
        if operation.after != After::Done {
            assert_eq!(noun.state(), sound.before, "{operation} is on its way");
        }
        comes_alive(&stage.caller).await;
        if operation.after == After::Done {
            until(|| noun.state() == sound.once() && noun.is_idle()).await;
        }
        noun.meddle(operation).await;
        let before = noun.state();
        stage.proxy().thaw();
        let ended = || {
            let stats = stage.proxy().stats();
            stats.held_bytes == 0 && stats.open <= open
        };
        until(ended).await;
        assert_eq!(noun.state(), before, "{operation} came late and was executed");
    }
}

/// Nobody knows, and whoever called is told so: it was sent, so that it is not said to be unavailable.
#[track_caller]
fn unknown(operation: &Operation, said: Result<String, Error>) {
    match (&said, operation.unknown) {
        (Ok(said), Some(unknown)) if said == unknown => {}
        (Err(error), None) if error.may_have_executed() => {}
        _ => panic!("{operation}: {said:?}"),
    }
}

/// The state is as it should be, or comes to be so.
async fn settles<N: Noun>(operation: &Operation, sound: &Sound, noun: &N, executions: usize) {
    match operation.after {
        After::Nothing => sound.check(operation, noun, executions),
        After::Done => until(|| noun.state() == sound.once() && noun.is_idle()).await,
        After::Undone => until(|| noun.state() == sound.undone).await,
    }
}

/// How often the server has executed commands of this kind.
fn executions(stage: &Stage, operation: &Operation) -> u64 {
    match operation.is_script() {
        true => stage.own.command_calls("evalsha"),
        false => stage.own.command_calls(&operation.name.to_lowercase()),
    }
}
