//! Chapters 8 and 9: who is logged in on which device, and that nobody is any more.

use std::time::{Duration, Instant, SystemTime};

use auth_adapter_redis::CacheAdapter;
use auth_adapter_redis::key::{Keys, SessionId, Timestamp, UserId};
use auth_adapter_redis::session::{Check, Confirm, Create, Fill, List, Row};

use crate::Result;
use crate::claims::Claims;
use crate::database::Database;
use crate::stage::{Instance, MOBILE_USER};

const DEVICES: [&str; 5] = ["laptop", "phone", "tablet", "watch", "tv"];
const A_DAY: Duration = Duration::from_secs(86_400);

/// The row of a login now, on this device.
pub fn row(device: &str) -> Result<Row> {
    let expires = Timestamp::try_from(SystemTime::now() + A_DAY)?;
    let id = SessionId::new(format!("{MOBILE_USER}-{device}"))?;
    Ok(Row::new(id, Timestamp::now(), expires).with_record(device))
}

/// Commits a login, then says so in Redis.
pub async fn log_in(
    instance: &Instance,
    database: &Database,
    user: &UserId,
    row: &Row,
) -> Result<()> {
    database.log_in(row);
    match instance.sessions().create(user, row).await? {
        Create::Created { .. } => Ok(()),
        other => Err(format!("the login ended with {other:?}").into()),
    }
}

pub async fn five_devices(
    instances: &[Instance],
    database: &Database,
    claims: &mut Claims,
) -> Result<()> {
    let user = UserId::new(MOBILE_USER)?;
    for (at, (device, instance)) in DEVICES.iter().zip(instances.iter().cycle()).enumerate() {
        println!("  {} logs user {user} in on a {device}", instance.name);
        let mut row = row(device)?;
        // No two in the same millisecond, so that a list has one order.
        row.created = Timestamp::from_millis((row.created.as_millis() + at as u64).try_into()?)?;
        log_in(instance, database, &user, &row).await?;
    }

    let mut lists = Vec::new();
    for instance in instances {
        let before = database.asked();
        let started = Instant::now();
        let list = list(instance, database, &user).await?;
        let took = started.elapsed();
        let (name, devices) = (instance.name, list.join(", "));
        match database.asked() - before {
            0 => println!("  {name} lists {devices}: {took:.1?}"),
            _ => println!("  {name} asks the database, fills in, and lists {devices}: {took:.1?}"),
        }
        lists.push(list);
    }
    claims.claim(
        lists.iter().all(|list| *list == DEVICES),
        "All three list all five devices, the oldest first.",
    );
    let asked = database.asked();
    claims.claim(asked == 1, "The database was asked once for that.");

    let mut active = 0;
    for instance in instances {
        active += active_on(instance, &user).await?;
    }
    claims.claim(
        (active, database.asked()) == (DEVICES.len() * instances.len(), asked),
        "Each device reads active on each instance, and the database was not asked again.",
    );
    Ok(())
}

pub async fn log_out_everywhere(
    instances: &[Instance],
    database: &Database,
    claims: &mut Claims,
) -> Result<()> {
    let [first, others @ ..] = instances else { return Err("no instance".into()) };
    let user = UserId::new(MOBILE_USER)?;
    let cached = first.redis.keys().user(&user);
    first.cache.set(&cached, r#"["laptop","phone"]"#, Keys::USER_TTL).await;
    let before = found(instances, &cached).await;

    // Its instance fell over between the database and Redis.
    let console = row("console")?;
    database.log_in(&console);
    let slow = &others[others.len() - 1];
    let (version, read) = match slow.sessions().check(&user, &console.id).await? {
        Check::Unknown(version) => (version, database.active(&console.id)),
        other => return Err(format!("nobody said anything of it, and it is {other:?}").into()),
    };
    let read = read.ok_or("it was logged in")?;
    println!("  {} reads in the database that a console is logged in, and is slow …", slow.name);

    database.log_out_everywhere();
    let started = Instant::now();
    let revoked = first.sessions().revoke_all(&user, &[&cached]).await?;
    let answered = Instant::now();
    let (took, ended) = (answered - started, revoked.ended.len());
    println!(
        "  {} logs user {user} out of {ended} devices with one script: {took:.1?}",
        first.name
    );

    let mut active = Vec::new();
    for instance in others {
        active.push(active_on(instance, &user).await?);
        println!("  {} has checked them, {:.1?} later", instance.name, answered.elapsed());
    }
    claims.claim(
        ended == DEVICES.len() && active.iter().all(|active| *active == 0),
        "The two others find none of the five active any more, at once.",
    );
    let late = slow.sessions().confirm(&user, &read, &version).await?;
    let after = slow.sessions().check(&user, &console.id).await?;
    claims.claim(
        late == Confirm::Stale && !matches!(after, Check::Active(_)),
        &format!("What {} had read before the revoke comes too late: {late:?}.", slow.name),
    );
    claims.claim(
        (before, found(instances, &cached).await) == (instances.len(), 0),
        "The cached list, which all three had found, went with them in the same script.",
    );
    Ok(())
}

/// On how many instances a key is found.
async fn found(instances: &[Instance], key: &str) -> usize {
    let mut found = 0;
    for instance in instances {
        found += usize::from(instance.cache.get(key).await.is_some());
    }
    found
}

/// The devices of all sessions, from Redis if that knows all of them.
async fn list(instance: &Instance, database: &Database, user: &UserId) -> Result<Vec<String>> {
    let sessions = instance.sessions();
    loop {
        match sessions.list(user).await? {
            List::Sessions(sessions) => {
                let device = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
                return Ok(sessions.iter().map(|one| device(one.record.as_bytes())).collect());
            }
            List::NeedsFill(version) => {
                // Where that is stale by now, the next round says so.
                let _: Fill = sessions.fill(user, &database.all_active(), &version).await?;
            }
        }
    }
}

/// How many of the five devices read active on this instance, by Redis alone.
async fn active_on(instance: &Instance, user: &UserId) -> Result<usize> {
    let sessions = instance.sessions();
    let mut active = 0;
    for device in DEVICES {
        let check = sessions.check(user, &row(device)?.id).await?;
        active += usize::from(matches!(check, Check::Active(_)));
    }
    Ok(active)
}
