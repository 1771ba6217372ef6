//! Everybody at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use auth_adapter_redis::key::UserId;
use support::target::shared;
use tokio::task::JoinSet;

const LOGINS: usize = 32;
const MAX: usize = 5;

/// The sessions that are active in a database.
type Database = Arc<Mutex<BTreeMap<SessionId, Row>>>;

/// One store over three connections.
async fn stores() -> Vec<Store> {
    let first = Store::new().await.max(MAX);
    let mut stores = Vec::new();
    for _ in 0..2 {
        let redis = support::patient(shared()).prefix(first.redis.prefix()).build().unwrap();
        redis.connected().await;
        stores.push(Store::on(redis).max(MAX));
    }
    stores.push(first);
    stores
}

/// A login as an auth server does it. The sessions that it displaced.
async fn log_in(sessions: Sessions, database: Database, row: Row) -> Vec<SessionId> {
    database.lock().unwrap().insert(row.id.clone(), row.clone());
    loop {
        match sessions.create(&user(), &row).await.unwrap() {
            Create::Created { displaced } | Create::Revoked { displaced } => {
                for session in &displaced {
                    database.lock().unwrap().remove(session);
                }
                sessions.revoke(&user(), &displaced, &[]).await.unwrap();
                return displaced;
            }
            Create::NeedsFill(version) => {
                let rows: Vec<_> = database.lock().unwrap().values().cloned().collect();
                let _ = sessions.fill(&user(), &rows, &version).await.unwrap();
            }
            Create::Expired { .. } => panic!("it lasts an hour"),
        }
    }
}

async fn crowd(stores: &[Store]) {
    let database = Database::default();
    let mut logins = JoinSet::new();
    for at in 0..LOGINS {
        let sessions = stores[at % 3].sessions.clone();
        let row = row(&format!("s{at:02}"), at as u64 % 7);
        logins.spawn(log_in(sessions, Arc::clone(&database), row));
    }
    let told: Vec<_> = logins.join_all().await.into_iter().flatten().collect();
    let displaced: BTreeSet<_> = told.iter().cloned().collect();
    assert_eq!(displaced.len(), told.len(), "each is told of once");
    let live: BTreeSet<_> = stores[0].listed().await.iter().map(|name| id(name)).collect();
    assert_eq!(live.len(), MAX);
    assert!(live.is_disjoint(&displaced));
    assert_eq!(live.len() + displaced.len(), LOGINS, "all displaced are told of");
    assert_eq!(database.lock().unwrap().keys().cloned().collect::<BTreeSet<_>>(), live);
}

/// Runs `crowd` while somebody counts.
async fn watched(stores: &[Store]) {
    let (sessions, over) = (stores[1].sessions.clone(), Arc::new(AtomicBool::new(false)));
    let ended = Arc::clone(&over);
    let watch = tokio::spawn(async move {
        let mut most = 0;
        while !ended.load(Ordering::Relaxed) {
            let List::Sessions(sessions) = sessions.list(&user()).await.unwrap() else {
                panic!("it stays complete")
            };
            most = most.max(sessions.len());
        }
        most
    });
    crowd(stores).await;
    over.store(true, Ordering::Relaxed);
    assert!(watch.await.unwrap() <= MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_logins_at_once_5_stay_and_all_displaced_are_told_of() {
    for _ in 0..10 {
        crowd(&stores().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_complete_never_has_more_than_the_maximum() {
    for _ in 0..10 {
        let stores = stores().await;
        stores[0].fill(&[]).await;
        watched(&stores).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_where_there_is_no_database() {
    for _ in 0..10 {
        let stores: Vec<_> = stores().await.into_iter().map(Store::alone).collect();
        watched(&stores).await;
    }
}

/// The list goes stale, and everything is forgotten, while they log in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_maximum_holds_while_the_hash_is_evicted() {
    let stores = stores().await;
    let database = Database::default();
    for round in 0..20 {
        let mut logins = JoinSet::new();
        for at in 0..6 {
            let row = row(&format!("{round:02}-{at}"), 0);
            logins.spawn(log_in(stores[at % 3].sessions.clone(), Arc::clone(&database), row));
        }
        let _gone_or_not = stores[0].raw("DEL", &[]);
        logins.join_all().await;
        // Whoever comes next finds out what an eviction has hidden.
        log_in(stores[0].sessions.clone(), Arc::clone(&database), row("next", 0)).await;
        assert!(stores[0].listed().await.len() <= MAX, "round {round}");
        database.lock().unwrap().remove(&id("next"));
        stores[0].revoke(&["next"]).await;
        stores[0].forget();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_touch_that_races_a_revoke_brings_nothing_back() {
    let stores = stores().await;
    let often = Duration::from_millis(1);
    let touching = stores[0].sessions.clone().with_touch_every(often).unwrap();
    let revoking = &stores[1].sessions;
    let (mut noted, mut late) = (0, 0);
    for round in 0..1000 {
        let user = UserId::new(format!("user-{round}")).unwrap();
        let row = row("a", 1);
        let Check::Unknown(version) = touching.check(&user, &row.id).await.unwrap() else {
            panic!("it is new")
        };
        let _ = touching.confirm(&user, &row, &version).await.unwrap();
        let touch = async {
            let mut outcomes = Vec::new();
            for _ in 0..3 {
                outcomes.push(touching.touch(&user, &row.id).await.unwrap());
            }
            outcomes
        };
        let named = [row.id.clone()];
        let (touched, revoked) = tokio::join!(touch, revoking.revoke(&user, &named, &[]));
        assert_eq!(revoked.unwrap().ended, named);
        noted += touched.iter().filter(|&&touch| touch == Touch::Noted).count();
        late += touched.iter().filter(|&&touch| touch == Touch::NotActive).count();
        assert_eq!(touching.check(&user, &row.id).await.unwrap(), Check::Revoked);
        let state = stores[0].redis.keys().user_state(&user);
        let left = raw(&stores[0].redis, "HGET", &state, &["s:a"]);
        assert!(is_tombstone(left.bytes().unwrap()), "{left:?}");
    }
    assert!(noted > 0 && late > 0, "both came first at times: {noted}, {late}");
}
