//! Chapters 1 and 2: what one instance caches, all have; what one deletes, none has.

use std::time::{Duration, Instant};

use auth_adapter_redis::CacheAdapter;
use auth_adapter_redis::key::{Keys, UserId};
use auth_adapter_redis::testing::Server;

use crate::Result;
use crate::claims::Claims;
use crate::stage::{Instance, Stage, USERS, keys_of};

/// What an auth server does: ask the cache, else the database, and keep what that said.
async fn sessions_of(instance: &Instance, user: &UserId) -> (String, bool) {
    let key = instance.redis.keys().user(user);
    if let Some(sessions) = instance.cache.get(&key).await {
        return (sessions, true);
    }
    let sessions = database().await;
    instance.cache.set(&key, &sessions, Keys::USER_TTL).await;
    (sessions, false)
}

/// Pretends to be one.
async fn database() -> String {
    tokio::time::sleep(Duration::from_millis(50)).await;
    r#"["laptop","phone"]"#.to_owned()
}

pub async fn fill_and_hit(instances: &[Instance], claims: &mut Claims) -> Result<()> {
    let user = UserId::new(USERS[0])?;
    let mut asked = Vec::new();
    for instance in instances {
        let started = Instant::now();
        let (sessions, hit) = sessions_of(instance, &user).await;
        let took = started.elapsed();
        let name = instance.name;
        match hit {
            false => println!("  {name} finds nothing, asks the database, fills in: {took:.1?}"),
            true => println!("  {name} finds {sessions}: {took:.1?}"),
        }
        asked.push((hit, took));
    }
    let hits: Vec<_> = asked.iter().map(|(hit, _)| *hit).collect();
    claims.claim(
        hits == [false, true, true],
        "What the first instance filled in, the two others found.",
    );
    let faster = asked[0].1.as_secs_f64() / asked[1].1.as_secs_f64();
    claims
        .claim(faster > 1.0, &format!("The first hit was {faster:.0} times as fast as the miss."));
    Ok(())
}

pub async fn log_out(stage: &Stage, instances: &[Instance], claims: &mut Claims) -> Result<()> {
    for (user, instance) in USERS.into_iter().zip(instances) {
        let keys = keys_of(&instance.redis, user)?;
        for key in &keys {
            instance.cache.set(key, "1", Keys::SESSIONS_ACTIVE_TTL).await;
        }
        let before = misses(instances, &keys).await;

        let ran = stage.server().map(|server| Ran::so_far(server));
        let keys_to_delete: Vec<_> = keys.iter().map(String::as_str).collect();
        let started = Instant::now();
        instance.cache.delete_many(&keys_to_delete).await;
        let took = started.elapsed();

        let (name, count) = (instance.name, keys.len());
        println!("  {name} deletes the {count} keys of user {user} in one call: {took:.1?}");
        let after = misses(instances, &keys).await;
        let all = count * instances.len();
        claims.claim(
            (before, after) == (0, all),
            &format!("All three found all {count} before, and none of them after."),
        );
        if let (Some(before), Some(server)) = (ran, stage.server()) {
            before.compare(&Ran::so_far(server), count, claims);
        }
    }
    Ok(())
}

async fn misses(instances: &[Instance], keys: &[String]) -> usize {
    let mut misses = 0;
    for instance in instances {
        for key in keys {
            misses += usize::from(instance.cache.get(key).await.is_none());
        }
    }
    misses
}

/// What the server ran, by its own count: scripts by their hash, and scripts by their source.
struct Ran {
    by_hash: u64,
    by_source: u64,
}

impl Ran {
    fn so_far(server: &Server) -> Self {
        Self { by_hash: server.command_calls("evalsha"), by_source: server.command_calls("eval") }
    }

    fn compare(self, after: &Self, keys: usize, claims: &mut Claims) {
        let by_hash = after.by_hash - self.by_hash;
        let by_source = after.by_source - self.by_source;
        match self.by_source {
            0 => claims.claim(
                (by_hash, by_source) == (1, 1),
                &format!(
                    "The server did not know the script yet: {by_hash} EVALSHA, {by_source} EVAL."
                ),
            ),
            _ => claims.claim(
                (by_hash, by_source) == (1, 0),
                &format!("Now it does: {by_hash} EVALSHA for {keys} keys, one round trip."),
            ),
        }
    }
}
