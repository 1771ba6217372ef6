//! Chapter 12: so many attempts to log in, wherever they come in.

use std::time::Duration;

use auth_adapter_redis::rate::{Check, Quota};
use tokio::task::JoinSet;

use crate::Result;
use crate::claims::Claims;
use crate::stage::{ATTEMPTS, Instance};

const FIVE: u32 = 5;
const LOGIN: Quota = Quota::per_minute(FIVE);
/// In which one flows back.
const ONE: Duration = Duration::from_secs(60 / FIVE as u64);
const EACH: usize = 4;

pub async fn guess_passwords(instances: &[Instance], claims: &mut Claims) -> Result<()> {
    println!("  Someone guesses passwords, {EACH} times at each instance, all at once …");
    let mut guesses = JoinSet::new();
    for instance in instances {
        for _ in 0..EACH {
            let (name, limiter) = (instance.name, instance.limiter());
            guesses.spawn(async move { (name, limiter.check(ATTEMPTS, &LOGIN, 1).await) });
        }
    }
    let (mut passed, mut waits) = (Vec::new(), Vec::new());
    for (name, guess) in guesses.join_all().await {
        match guess? {
            Check::Allowed { .. } => passed.push(name),
            Check::Denied { retry_after, .. } => waits.push(retry_after),
        }
    }
    for instance in instances {
        let passed = passed.iter().filter(|name| **name == instance.name).count();
        println!("  {} let {passed} of {EACH} pass", instance.name);
    }
    let (passed, all) = (passed.len(), instances.len() * EACH);
    claims.claim(
        passed == FIVE as usize,
        &format!("Together they let {passed} of {all} pass: {FIVE} a minute is one limit for all."),
    );
    let longest = waits.iter().max().copied().unwrap_or_default();
    claims.claim(
        waits.len() == all - passed && waits.iter().all(|wait| !wait.is_zero() && *wait <= ONE),
        &format!("The others were told how long to wait: {longest:.1?}."),
    );

    let [first, .., last] = instances else { return Err("no two instances".into()) };
    let had = first.limiter().reset(ATTEMPTS, &LOGIN).await?;
    let level = last.limiter().peek(ATTEMPTS, &LOGIN).await?;
    claims.claim(
        had && level.remaining == FIVE,
        &format!(
            "The right password at {} fills the bucket, and {} sees all {} again.",
            first.name, last.name, level.remaining
        ),
    );
    Ok(())
}
