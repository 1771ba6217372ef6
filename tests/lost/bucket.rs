//! Rate limits, whose calls count as often as they are executed.

use std::time::Duration;

use auth_adapter_redis::rate::{Check, CheckMany, Quota};
use auth_adapter_redis::{Error, RateLimiter};

use super::operation::{Noun, Operation};
use super::world::World;

const KEYS: [&str; 2] = ["{r}one", "{r}two"];
const QUOTA: Quota = Quota::per_hour(5);
/// What one takes to flow back.
const ONE: i64 = Duration::from_secs(3600 / 5).as_micros() as i64;

pub struct Buckets {
    world: World,
    ours: RateLimiter,
    theirs: RateLimiter,
}

impl Noun for Buckets {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("rate/check", ["4 left", "3 left", "2 left"]),
        Operation::new("rate/check", ["denied"; 3]).case("denied").reads(),
        Operation::new("rate/check_many", ["4 left", "3 left", "2 left"]),
        Operation::new("rate/check_many", ["denied by 0"; 3]).case("denied").reads(),
        Operation::new("rate/peek", ["0 left"; 3]).case("denied").reads(),
        Operation::new("rate/reset", ["true", "false", "false"]).case("denied"),
    ];

    fn new(world: World) -> Self {
        let ours = RateLimiter::new(world.caller.clone());
        let theirs = RateLimiter::new(world.direct.clone());
        Self { world, ours, theirs }
    }

    async fn prepare(&self, operation: &Operation) {
        if operation.case == "denied" {
            self.spend(5).await;
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let [key, other] = KEYS;
        Ok(match operation.name {
            "rate/check" => match self.ours.check(key, &QUOTA, 1).await? {
                Check::Allowed { remaining, .. } => format!("{remaining} left"),
                Check::Denied { .. } => "denied".to_owned(),
            },
            "rate/check_many" => {
                match self.ours.check_many(&[(key, QUOTA), (other, QUOTA)], 1).await? {
                    CheckMany::Allowed { remaining, .. } => format!("{remaining} left"),
                    CheckMany::Denied { by, .. } => format!("denied by {}", by[0]),
                }
            }
            "rate/peek" => format!("{} left", self.ours.peek(key, &QUOTA).await?.remaining),
            "rate/reset" => {
                let filled = self.ours.reset(key, &QUOTA).await;
                filled.map_err(|exposed| exposed.error)?.to_string()
            }
            other => panic!("say here how {other} is called"),
        })
    }

    /// The bucket is filled, or what was filled is spent.
    async fn meddle(&self, _: &Operation) {
        self.theirs.reset(KEYS[0], &QUOTA).await.unwrap();
        self.spend(2).await;
    }

    fn state(&self) -> String {
        let now = self.world.now();
        let spent = KEYS.map(|key| {
            let full = self.world.text(key).map_or(now, |at| at.parse().unwrap());
            // Since it was spent some of it has flown back.
            format!("{} spent of {key}, {}\n", (full - now + ONE / 2) / ONE, self.world.end(key))
        });
        spent.concat()
    }
}

impl Buckets {
    async fn spend(&self, cost: u32) {
        assert!(self.theirs.check(KEYS[0], &QUOTA, cost).await.unwrap().is_allowed());
    }
}
