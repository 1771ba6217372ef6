//! What holds for every reply and for every script's text.

mod header;
mod reply;

pub(crate) use header::{header, includes};
pub(crate) use reply::{read, reply, tells_shapes_alone};
