//! Strings that only the newest holder writes.

use auth_adapter_redis::fence::CheckAndSet;
use auth_adapter_redis::key::Fence;
use auth_adapter_redis::{Error, FencedStrings};

use super::operation::{Noun, Operation};
use super::world::World;

const KEY: &str = "{f}resource";
const RECORD: &str = "{f}resource::fenced";

pub struct Fenced {
    world: World,
    ours: FencedStrings,
    theirs: FencedStrings,
}

impl Noun for Fenced {
    const OPERATIONS: &'static [Operation] = &[
        Operation::new("fence/check_and_set", ["set"; 3]),
        Operation::new("fence/check_and_set", ["refused for 7"; 3]).case("with an older").reads(),
    ];

    fn new(world: World) -> Self {
        let ours = FencedStrings::new(world.caller.clone());
        let theirs = FencedStrings::new(world.direct.clone());
        Self { world, ours, theirs }
    }

    async fn prepare(&self, operation: &Operation) {
        self.write(if operation.case.is_empty() { 4 } else { 7 }).await;
    }

    async fn call(&self, _: &Operation) -> Result<String, Error> {
        Ok(match self.ours.check_and_set(KEY, "ours", fence(5)).await? {
            CheckAndSet::Set => "set".to_owned(),
            CheckAndSet::Refused { newest } => format!("refused for {newest}"),
            CheckAndSet::Overtaken => "overtaken".to_owned(),
        })
    }

    /// Whoever came before writes once more: it would be overwritten.
    async fn meddle(&self, _: &Operation) {
        self.write(4).await;
    }

    fn state(&self) -> String {
        // Without the order of the write.
        let record = self.world.text(RECORD).unwrap();
        let fence = record.split(':').next().unwrap().to_owned();
        format!("{}under {fence}, {}", self.world.string(KEY), self.world.end(RECORD))
    }
}

impl Fenced {
    async fn write(&self, number: u64) {
        let written = self.theirs.check_and_set(KEY, "theirs", fence(number)).await.unwrap();
        assert_eq!(written, CheckAndSet::Set);
    }
}

fn fence(number: u64) -> Fence {
    Fence::from_u64(number).unwrap()
}
