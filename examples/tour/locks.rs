//! Chapters 5 to 7: a lock that is handed over, a holder that stands still, and what it sent too late.

use std::time::{Duration, Instant};

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::lock::Release;
use auth_adapter_redis::{FencedStrings, LockGuard, Locks};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::Result;
use crate::claims::Claims;
use crate::stage::{Instance, REPORT, REPORT_LOCK};

const LONG: Duration = Duration::from_secs(30);
const SHORT_LEASE: Duration = Duration::from_millis(600);
/// How often one would have to ask instead, and what comes of that on a busy machine.
const POLL: Duration = Duration::from_millis(100);

fn locks(instance: &Instance) -> Result<Locks> {
    Ok(Locks::new(instance.redis.clone()).with_owner(instance.name)?.with_fencing())
}

/// One who waits for the lock: the guard, and when it was there.
async fn waiting(locks: &Locks, places: u64) -> Result<JoinHandle<Result<(LockGuard, Instant)>>> {
    let waiter = tokio::spawn({
        let locks = locks.clone();
        async move {
            let guard = locks.acquire(REPORT_LOCK, LONG, LONG).await?.guard();
            Ok((guard.ok_or("the lock was never free")?, Instant::now()))
        }
    });
    let began = Instant::now();
    while began.elapsed() < LONG {
        let held = locks.leases().inspect(REPORT_LOCK).await?;
        if held.is_some_and(|held| held.waiters == places) {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok(waiter)
}

pub async fn handed_over(instances: &[Instance], claims: &mut Claims) -> Result<()> {
    let [first, second, third] = [0, 1, 2].map(|at| &instances[at]);
    let guard = locks(first)?.acquire(REPORT_LOCK, LONG, LONG).await?.guard();
    let mut guard = guard.ok_or("the lock was not free")?;
    let mut waiters = Vec::new();
    for (places, instance) in (1..).zip([second, third]) {
        waiters.push(waiting(&locks(instance)?, places).await?);
    }
    println!("  {} has the lock, {} and then {} wait for it", first.name, second.name, third.name);
    let began = Instant::now();
    first.redis.ping().await?;
    println!("  a round trip takes {:.0?}", began.elapsed());
    let mut order = Vec::new();
    let mut slowest = Duration::ZERO;
    for waiter in waiters {
        let released = Instant::now();
        let _freed = guard.release().await?;
        let (next, since) = waiter.await??;
        let took = since.saturating_duration_since(released);
        println!("  {} has it {took:.0?} after the release was sent", next.owner());
        slowest = slowest.max(took);
        order.push(next.owner().to_owned());
        guard = next;
    }
    let _freed = guard.release().await?;
    claims.claim(order == [second.name, third.name], "They were served in the order they came.");
    let claim = format!("Neither waited as long as a poll of {POLL:?} would have had it.");
    claims.claim(slowest < POLL, &claim);
    Ok(())
}

/// The guards of a holder that stood still and of the one after it.
pub struct Two {
    pub old: LockGuard,
    pub new: LockGuard,
}

pub async fn stands_still(instances: &[Instance], claims: &mut Claims) -> Result<Two> {
    let (holder, next) = (&instances[0], &instances[1]);
    let guard = locks(holder)?.acquire(REPORT_LOCK, SHORT_LEASE, LONG).await?.guard();
    let old = guard.ok_or("the lock was not free")?;
    let waiter = waiting(&locks(next)?, 1).await?;
    println!("  {} has the lock for {SHORT_LEASE:?}, and its work takes longer", holder.name);
    let outcome = old.run(std::future::pending::<()>()).await;
    let stopped = Instant::now();
    claims.claim(outcome.is_err(), "Its work was stopped when the lock could not be trusted.");
    let (new, since) = waiter.await??;
    println!(
        "  {} has the lock {:.1?} later",
        new.owner(),
        since.saturating_duration_since(stopped)
    );
    claims.claim(since >= stopped, "Only then another had the lock.");
    Ok(Two { old, new })
}

pub async fn too_late(instances: &[Instance], two: Two, claims: &mut Claims) -> Result<()> {
    let Two { old, new } = two;
    let (Some(older), Some(newer)) = (old.fence(), new.fence()) else {
        return Err("these locks have fences".into());
    };
    let report = FencedStrings::new(instances[2].redis.clone());
    let by_new = report.check_and_set(REPORT, "of the new holder", newer).await?;
    let by_old = report.check_and_set(REPORT, "of the old holder", older).await?;
    println!("  both write: the new holder, and then what the old one had sent before");
    let refused = by_old == CheckAndSet::Refused { newest: newer };
    let claim = "The report refused the older fence, and has the new holder's text.";
    claims.claim(by_new == CheckAndSet::Set && refused && newer > older, claim);
    let by_old = old.release().await?;
    let by_new = new.release().await?;
    let ours = (by_old, by_new) == (Release::NotOurs, Release::Freed);
    claims.claim(ours, "The old holder's release left the new holder's lock alone.");
    Ok(())
}
