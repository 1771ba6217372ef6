//! Cached strings.

use auth_adapter_redis::{Cache, Error};

use super::operation::{Noun, Operation};
use super::support::LONG;
use super::world::World;

const KEYS: [&str; 2] = ["{k}one", "{k}two"];

pub struct Strings {
    world: World,
    ours: Cache,
    theirs: Cache,
}

impl Noun for Strings {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("GET", ["old"; 3]).reads(),
        Operation::new("SET", ["set"; 3]),
        Operation::new("DEL", ["true", "false", "false"]),
        Operation::new("cache/delete_many", ["2", "0", "0"]),
        Operation::new("cache/delete_many", ["2", "0", "0"]).case("by slot"),
    ];

    fn new(world: World) -> Self {
        let (ours, theirs) = (Cache::new(world.caller.clone()), Cache::new(world.direct.clone()));
        Self { world, ours, theirs }
    }

    async fn prepare(&self, _: &Operation) {
        for key in KEYS {
            self.theirs.set(key, "old", LONG).await.unwrap();
        }
    }

    async fn call(&self, operation: &Operation) -> Result<String, Error> {
        let [key, _] = KEYS;
        Ok(match (operation.name, operation.case) {
            ("GET", _) => self.ours.get(key).await?.unwrap_or_default(),
            ("SET", _) => self.ours.set(key, "new", LONG * 10).await.map(|()| "set".to_owned())?,
            ("DEL", _) => self.ours.delete(key).await?.to_string(),
            (_, "by slot") => self.ours.delete_many_by_slot(&KEYS).await?.to_string(),
            _ => self.ours.delete_many(&KEYS).await?.to_string(),
        })
    }

    /// What was deleted is set once more, and what was set is deleted.
    async fn meddle(&self, operation: &Operation) {
        for key in KEYS {
            match operation.name {
                "SET" => drop(self.theirs.delete(key).await.unwrap()),
                _ => self.theirs.set(key, "newer", LONG).await.unwrap(),
            }
        }
    }

    fn state(&self) -> String {
        KEYS.map(|key| self.world.string(key)).concat()
    }
}
