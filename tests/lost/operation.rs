//! One operation of the crate as it is called here, and what is expected of it.

use std::fmt;

use auth_adapter_redis::Error;
use auth_adapter_redis::script::Repeat;

use super::support::script;
use super::world::World;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Of its script, or a plain command.
    pub name: &'static str,
    /// Which of several calls of one script.
    pub case: &'static str,
    /// What it says the first time, what it says sent again after that, and what a call of the same kind
    /// says after both.
    pub says: [&'static str; 3],
    /// What a call says instead of that which never fails and has no reply; else it is an error.
    pub unknown: Option<&'static str>,
    pub writes: bool,
    /// What goes on in the background after a call without a reply.
    pub after: After,
}

#[derive(Clone, Copy, PartialEq)]
pub enum After {
    Nothing,
    /// What it may have done is undone.
    Undone,
    /// It is done until that is known.
    Done,
}

impl Operation {
    pub const fn new(name: &'static str, says: [&'static str; 3]) -> Self {
        Self { name, case: "", says, unknown: None, writes: true, after: After::Nothing }
    }

    pub const fn case(self, case: &'static str) -> Self {
        Self { case, ..self }
    }

    /// It changes nothing.
    pub const fn reads(self) -> Self {
        Self { writes: false, ..self }
    }

    pub const fn or(self, unknown: &'static str) -> Self {
        Self { unknown: Some(unknown), ..self }
    }

    pub const fn after(self, after: After) -> Self {
        Self { after, ..self }
    }

    pub fn is_script(&self) -> bool {
        self.name.contains('/')
    }

    /// What is in its request and in no other.
    pub fn request(&self) -> String {
        match self.is_script() {
            true => script(self.name).sha().to_owned(),
            false => format!("\r\n{}\r\n", self.name),
        }
    }

    /// Whether it counts each time that it is executed, as its header says. A plain command that is
    /// executed twice does the same.
    pub fn counts(&self) -> bool {
        self.is_script()
            && match script(self.name).contract().repeat {
                Repeat::Same => false,
                Repeat::Counts => true,
                other => panic!("say here what {other:?} means"),
            }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.case)
    }
}

/// The operations of one noun in a world.
pub trait Noun: Sized {
    const OPERATIONS: &'static [Operation];

    fn new(world: World) -> Self;

    /// What is there before the call.
    async fn prepare(&self, operation: &Operation);

    /// The call: what it says, or the error that says that nothing is known. After such a one it is the
    /// caller's own next attempt.
    async fn call(&self, operation: &Operation) -> Result<String, Error>;

    /// What others do before the late bytes of the call arrive, so that their execution would show.
    async fn meddle(&self, operation: &Operation);

    /// Undoes a call that had a reply, as is done in the background after one that had none.
    async fn undo(&self) {}

    /// Whether nothing goes on in the background.
    fn is_idle(&self) -> bool {
        true
    }

    /// What the server has, without what differs from one world to the next.
    fn state(&self) -> String;
}
