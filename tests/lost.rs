//! A reply that never came: the server executed a call and its caller does not know. For every operation
//! the answer is right or unknown, the state afterwards is as the `REPEAT` line of the script says, and
//! what was held back until the caller had another connection is never executed.

#[path = "lost/adapter.rs"]
mod adapter;
#[path = "lost/bucket.rs"]
mod bucket;
#[path = "lost/cache.rs"]
mod cache;
#[path = "lost/faults.rs"]
mod faults;
#[path = "lost/fenced.rs"]
mod fenced;
#[path = "lost/guarded.rs"]
mod guarded;
#[path = "lost/lease.rs"]
mod lease;
#[path = "lost/operation.rs"]
mod operation;
#[path = "lost/queue.rs"]
mod queue;
#[path = "lost/session.rs"]
mod session;
#[path = "lost/stage.rs"]
mod stage;
mod support;
#[path = "lost/token.rs"]
mod token;
#[path = "lost/user.rs"]
mod user;
#[path = "lost/waiting.rs"]
mod waiting;
#[path = "lost/world.rs"]
mod world;

use std::collections::BTreeSet;

use auth_adapter_redis::script::library;
use operation::{Noun, Operation};
use support::target::{Own, own_behind_proxy};

/// Each noun with each fault: one test for each pair.
macro_rules! pairs {
    ($($name:ident $noun:ty,)*) => {
        pairs!(@ dropped $($name $noun,)*);
        pairs!(@ halved $($name $noun,)*);
        pairs!(@ dropped_with_its_source $($name $noun,)*);
        pairs!(@ dropped_twice $($name $noun,)*);
        pairs!(@ silenced $($name $noun,)*);
        pairs!(@ late $($name $noun,)*);

        fn operations() -> Vec<Operation> {
            [$(<$noun>::OPERATIONS),*].concat()
        }
    };
    (@ $fault:ident $($name:ident $noun:ty,)*) => {
        mod $fault {
            use super::*;

            $(#[tokio::test]
            async fn $name() {
                faults::$fault::<$noun>().await;
            })*
        }
    };
}

pairs! {
    cached_strings cache::Strings,
    leases lease::ByToken,
    queues queue::InLine,
    locks guarded::Guarded,
    fenced_strings fenced::Fenced,
    rate_limits bucket::Buckets,
    sessions session::Stored,
    refresh_tokens token::Rotating,
    adapter_of_seven adapter::Seven,
}

#[test]
fn every_script_and_every_plain_command_is_among_the_operations() {
    let here: BTreeSet<_> = operations().iter().map(|operation| operation.name).collect();
    let scripts = library().iter().map(|script| script.name());
    let commands = ["GET", "SET", "DEL", "SCAN", "PING"];
    assert_eq!(here, scripts.chain(commands).collect());
}
