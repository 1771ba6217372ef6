//! One key: rising numbers are written, read and deleted, and each call finds what the last one left.

use std::sync::atomic::Ordering;

use crate::LONG;
use crate::load::{Expected, Load};

pub struct Numbers {
    key: String,
}

impl Numbers {
    pub fn new(tag: &str, at: usize) -> Self {
        Self { key: format!("{{{tag}}}:number:{at}") }
    }

    pub async fn run(self, load: &Load) -> Result<Expected, String> {
        for number in 1.. {
            let value = format!("{} {number}", self.key);
            load.single("set", load.cache.set(&self.key, &value, LONG)).await?;
            self.holds(load, Some(&value)).await?;
            if load.ends() {
                let values = [(self.key, value)].into();
                return Ok(Expected { values, ..Expected::default() });
            }
            if number % 5 == 0 {
                for there in [true, false] {
                    let deleted = load.single("delete", load.cache.delete(&self.key)).await?;
                    match (deleted, there) {
                        (true, false) => return Err(format!("{}: deleted twice", self.key)),
                        (false, true) => load.twice.fetch_add(1, Ordering::Relaxed),
                        _ => 0,
                    };
                    self.holds(load, None).await?;
                }
            }
        }
        unreachable!("it ends before numbers do")
    }

    async fn holds(&self, load: &Load, value: Option<&str>) -> Result<(), String> {
        let got = load.single("get", load.cache.get(&self.key)).await?;
        match got.as_deref() == value {
            true => Ok(()),
            false => Err(format!("{}: {got:?} instead of {value:?}", self.key)),
        }
    }
}
