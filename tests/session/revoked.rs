//! Revoked stays revoked: a login server that asks the database, a revoke, and an eviction, in every
//! order, and whatever comes late after all of them.

use super::*;

/// What happens of a story, in any order that keeps a reader's and a revoker's own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Check,
    ReadDatabase,
    Confirm,
    Commit,
    Revoke,
    Evict,
}

const READER: [Event; 3] = [Event::Check, Event::ReadDatabase, Event::Confirm];
const REVOKER: [Event; 2] = [Event::Commit, Event::Revoke];

/// What Redis has of the session before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Created,
    Confirmed,
    Filled,
}

/// How it is revoked.
#[derive(Clone, Copy, Debug)]
enum How {
    One,
    All,
    Others,
    Displaced,
}

/// Both in every order.
fn merged(a: &[Event], b: &[Event]) -> Vec<Vec<Event>> {
    let (Some((&first_a, rest_a)), Some((&first_b, rest_b))) = (a.split_first(), b.split_first())
    else {
        return vec![[a, b].concat()];
    };
    let mut stories = Vec::new();
    for (first, rest) in [(first_a, merged(rest_a, b)), (first_b, merged(a, rest_b))] {
        stories.extend(rest.into_iter().map(|rest| [&[first], &rest[..]].concat()));
    }
    stories
}

struct Story {
    store: Store,
    row: Row,
    how: How,
    revoked_in_database: bool,
    asked: Option<Version>,
    read: bool,
}

impl Story {
    async fn begin(redis: &Redis, at: usize, before: Before, how: How) -> Self {
        let redis = redis.clone().with_prefix(&format!("{}{at}:", redis.prefix())).unwrap();
        let (store, row) = (Store::on(redis), row("a", 9));
        match before {
            Before::Nothing => {}
            Before::Created => drop(store.create(&row).await),
            Before::Confirmed => store.login(&row).await,
            Before::Filled => store.fill(std::slice::from_ref(&row)).await,
        }
        Self { store, row, how, revoked_in_database: false, asked: None, read: false }
    }

    async fn happens(&mut self, event: Event) {
        let sessions = &self.store.sessions;
        match event {
            Event::Check => match self.store.check("a").await {
                Check::Unknown(version) => self.asked = Some(version),
                // It asks nobody then.
                Check::Active(_) | Check::Revoked => {}
                outcome @ (Check::Absent | Check::Degraded { .. }) => panic!("{outcome:?}"),
            },
            Event::ReadDatabase => self.read = !self.revoked_in_database,
            Event::Confirm => {
                if let (Some(version), true) = (&self.asked, self.read) {
                    let _ = sessions.confirm(&user(), &self.row, version).await.unwrap();
                }
            }
            Event::Commit => self.revoked_in_database = true,
            Event::Revoke => self.revoke().await,
            Event::Evict => drop(self.store.raw("DEL", &[])),
        }
    }

    async fn revoke(&self) {
        let sessions = &self.store.sessions;
        match self.how {
            How::One => drop(self.store.revoke(&["a"]).await),
            How::All => drop(sessions.revoke_all(&user(), &[]).await.unwrap()),
            How::Others => drop(sessions.revoke_others(&user(), &id("b"), &[]).await.unwrap()),
            How::Displaced => {
                let one = sessions.clone().with_max(1).unwrap();
                if let Create::NeedsFill(version) = one.create(&user(), &row("b", 0)).await.unwrap()
                {
                    let _ =
                        one.fill(&user(), std::slice::from_ref(&self.row), &version).await.unwrap();
                    let created = one.create(&user(), &row("b", 0)).await.unwrap();
                    assert!(matches!(created, Create::Created { .. }), "{created:?}");
                }
                // Its commit, and once more.
                drop(self.store.revoke(&["a"]).await);
            }
        }
    }
}

/// Every order of a reader and a revoker, with an eviction at each point and without one.
fn orders() -> Vec<Vec<Event>> {
    let mut orders = Vec::new();
    for order in merged(&READER, &REVOKER) {
        for at in 0..=order.len() {
            let mut evicted = order.clone();
            evicted.insert(at, Event::Evict);
            orders.push(evicted);
        }
        orders.push(order);
    }
    orders
}

#[tokio::test]
async fn no_order_of_check_confirm_revoke_and_eviction_makes_it_active_again() {
    let redis = support::redis().await;
    let mut stories = 0;
    for order in orders() {
        for before in [Before::Nothing, Before::Created, Before::Confirmed, Before::Filled] {
            for how in [How::One, How::All, How::Others, How::Displaced] {
                stories += 1;
                let mut story = Story::begin(&redis, stories, before, how).await;
                let told = format!("{before:?}, {how:?}: {order:?}");
                for &event in &order {
                    story.happens(event).await;
                }
                let check = story.store.check("a").await;
                assert!(!matches!(check, Check::Active(_)), "{told}: {check:?}");
                // All that was sent before it comes once more, late.
                let _ = story.store.create(&story.row).await;
                story.happens(Event::Confirm).await;
                if let (Some(version), true) = (&story.asked, story.read) {
                    let rows = [story.row.clone()];
                    let sessions = &story.store.sessions;
                    let _ = sessions.fill(&user(), &rows, version).await.unwrap();
                }
                let touched = story.store.touch("a").await;
                assert_eq!(touched, Touch::NotActive, "{told}");
                let check = story.store.check("a").await;
                assert!(!matches!(check, Check::Active(_)), "late, {told}: {check:?}");
            }
        }
    }
    assert_eq!(stories, 10 * 7 * 4 * 4);
}

#[tokio::test]
async fn without_a_database_no_late_create_brings_it_back() {
    for known in [false, true] {
        let store = Store::new().await.alone().max(1);
        if known {
            let _created = store.create(&row("a", 1)).await;
        }
        store.revoke(&["a"]).await;
        for _ in 0..2 {
            let late = store.create(&row("a", 1)).await;
            assert_eq!(late, Create::Revoked { displaced: vec![] });
            assert_eq!(store.check("a").await, Check::Revoked);
        }
        // A displaced one, and one that was ended with all others.
        let _created = store.create(&row("b", 1)).await;
        let _created = store.create(&row("c", 0)).await;
        store.sessions.revoke_all(&user(), &[]).await.unwrap();
        for name in ["b", "c"] {
            let late = store.create(&row(name, 1)).await;
            assert!(matches!(late, Create::Revoked { .. }), "{late:?}");
            assert_eq!(store.check(name).await, Check::Revoked);
        }
    }
}

#[tokio::test]
async fn a_late_create_with_a_database_is_unknown_where_no_tombstone_is_left() {
    let store = Store::new().await;
    store.login(&row("a", 1)).await;
    store.revoke(&["a"]).await;
    store.forget();
    let late = store.create(&row("a", 1)).await;
    assert_eq!(late, Create::Created { displaced: vec![] });
    assert!(matches!(store.check("a").await, Check::Unknown(_)));
}
