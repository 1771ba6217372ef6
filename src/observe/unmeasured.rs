//! Nothing, without the feature `metrics`.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;

pub(super) struct Call;

impl Call {
    #[inline(always)]
    pub(super) fn begin(_operation: impl FnOnce() -> &'static str) -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn came_to(&mut self, _outcome: &'static str) {}
}

pub(crate) struct Read;

impl Read {
    #[inline(always)]
    pub(crate) fn begin() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn end(self, _outcome: &'static str) {}
}

pub(crate) struct Wait;

impl Wait {
    #[inline(always)]
    pub(crate) fn begin() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn end(self, _outcome: &'static str) {}
}

#[derive(Debug)]
pub(crate) struct Held;

impl Held {
    #[inline(always)]
    pub(crate) fn not_yet() -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn begin(&mut self) {}

    #[inline(always)]
    pub(crate) fn released(&mut self) {}

    #[inline(always)]
    pub(crate) fn lost(&mut self, _at: Moment) {}
}

#[inline(always)]
pub(crate) fn script_loaded(_name: &'static str) {}

#[inline(always)]
pub(crate) fn fell_back(_operation: &'static str, _is_rejection: bool) {}

#[inline(always)]
pub(crate) fn deletes_pending(_before: usize, _now: usize) {}

#[inline(always)]
pub(crate) fn circuit(_node: &Arc<str>, _was: Option<usize>, _is: Option<usize>) {}

#[inline(always)]
pub(crate) fn renewed(_outcome: &'static str, _slack: Option<Duration>) {}
