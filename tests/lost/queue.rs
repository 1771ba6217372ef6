//! Places in the queue of a lock.

use std::sync::OnceLock;

use auth_adapter_redis::Error;
use auth_adapter_redis::lock::{Join, Leases, LockToken, Place, Release, Told};

use super::lease::{LEASE, LOCK, LONGER, locked, released, take};
use super::operation::{Noun, Operation};
use super::support::LONG;
use super::world::{World, magnitude, owner};

/// Where each gets a token to join with.
const SPARE: &str = "{l}spare";

pub struct InLine {
    world: World,
    ours: Leases,
    /// The same owner, past the proxy.
    direct: Leases,
    theirs: Leases,
    token: OnceLock<LockToken>,
    their_token: OnceLock<LockToken>,
    place: Place,
}

impl Noun for InLine {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("lock/join", ["acquired"; 3]).case("free"),
        Operation::new("lock/join", ["queued for 100s"; 3]).case("of another"),
        Operation::new("lock/hand_over", ["freed", "not ours", "not ours"]),
        Operation::new("lock/leave", ["not ours"; 3]).case("waiting"),
        Operation::new("lock/leave", ["freed", "not ours", "not ours"]).case("granted"),
    ];

    fn new(world: World) -> Self {
        let ours = Leases::new(world.caller.clone()).with_owner("ours").unwrap();
        let direct = Leases::new(world.direct.clone()).with_owner("ours").unwrap();
        let theirs = Leases::new(world.direct.clone()).with_owner("theirs").unwrap();
        let place = Place::new(Told::Never, LONG).unwrap();
        let (token, their_token) = (OnceLock::new(), OnceLock::new());
        Self { world, ours, direct, theirs, token, their_token, place }
    }

    async fn prepare(&self, operation: &Operation) {
        self.token.set(spare(&self.direct).await).unwrap();
        match (operation.name, operation.case) {
            (_, "free") => self.their_token.set(spare(&self.theirs).await).unwrap(),
            (_, "of another" | "waiting") => {
                self.their_token.set(take(&self.theirs, LOCK, LONGER).await).unwrap();
                if operation.case == "waiting" {
                    join(&self.direct, self.token(), &self.place).await;
                }
            }
            _ => {
                join(&self.direct, self.token(), &self.place).await;
                self.their_token.set(spare(&self.theirs).await).unwrap();
                join(&self.theirs, self.their_token(), &self.place).await;
            }
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let (ours, token, place) = (&self.ours, self.token(), &self.place);
        Ok(match operation.name {
            "lock/join" => match ours.join(LOCK, token, LEASE, place, LONG).await? {
                Join::Acquired { .. } => "acquired".to_owned(),
                Join::Queued { left, .. } => format!("queued for {}", magnitude(left.unwrap())),
            },
            "lock/hand_over" => released(ours.hand_over(LOCK, token).await?),
            "lock/leave" => released(ours.leave(LOCK, token, place).await?),
            other => panic!("say here how {other} is called"),
        })
    }

    /// The holder frees the lock, or gets it; or the one that would be next goes.
    async fn meddle(&self, operation: &Operation) {
        let (theirs, their_token) = (&self.theirs, self.their_token());
        let freed = match (operation.name, operation.case) {
            (_, "free") => {
                join(theirs, their_token, &self.place).await;
                theirs.hand_over(LOCK, their_token).await.unwrap()
            }
            (_, "of another" | "waiting") => theirs.hand_over(LOCK, their_token).await.unwrap(),
            _ => {
                let left = theirs.leave(LOCK, their_token, &self.place).await.unwrap();
                assert_eq!(left, Release::NotOurs);
                return;
            }
        };
        assert_eq!(freed, Release::Freed);
    }

    fn state(&self) -> String {
        let places = self.world.raw("ZRANGE", &format!("{LOCK}::queue"), &["0", "-1"]);
        let places = places.array().unwrap().iter().map(|place| owner(place.text().unwrap()));
        format!("{}in line {:?}\n", locked(&self.world, LOCK), places.collect::<Vec<_>>())
    }
}

impl InLine {
    fn token(&self) -> &LockToken {
        self.token.get().unwrap()
    }

    fn their_token(&self) -> &LockToken {
        self.their_token.get().unwrap()
    }
}

async fn spare(leases: &Leases) -> LockToken {
    let token = take(leases, SPARE, LEASE).await;
    assert_eq!(leases.release(SPARE, &token).await.unwrap(), Release::Freed);
    token
}

async fn join(leases: &Leases, token: &LockToken, place: &Place) {
    let _joined = leases.join(LOCK, token, LEASE, place, LONG).await.unwrap();
}
