//! Which connections a server may still have something on its way of: the next one to the same server ends
//! them there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::state::Told;

/// How many connections are remembered that nobody uses any more. There is one or two for each server
/// that has gone, and of most of these the process has ended.
const REMEMBERED: usize = 256;

/// Which connection of which server this is: ids begin anew when a server restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) run_id: String,
    pub(super) client_id: i64,
}

/// The connections of a handle, each until it is known to have ended on its server. They outlast their
/// links: a node that leaves a cluster may come back, and so may a server behind a name.
#[derive(Default)]
pub(super) struct Register(Mutex<Vec<Entry>>);

struct Entry {
    identity: Identity,
    /// The link that uses it, unless that has a later one.
    user: Weak<Told>,
}

impl Register {
    /// The connections to the server of `next` that end when `user` goes over to that: its own, and those
    /// of links that are gone.
    pub(super) fn before(&self, next: &Identity, user: &Arc<Told>) -> Vec<Identity> {
        let ends = |entry: &&Entry| {
            let is_own = std::ptr::eq(entry.user.as_ptr(), Arc::as_ptr(user));
            entry.identity.run_id == next.run_id && (is_own || !entry.is_in_use())
        };
        self.entries().iter().filter(ends).map(|entry| entry.identity.clone()).collect()
    }

    /// It is known to have ended on its server, or cannot be ended.
    pub(super) fn forget(&self, ended: &Identity) {
        self.entries().retain(|entry| entry.identity != *ended);
    }

    /// What `user` has used is in use no more; `next` is, where it is known.
    pub(super) fn go_over(&self, next: Option<Identity>, user: &Arc<Told>) {
        let mut entries = self.entries();
        for entry in &mut *entries {
            if std::ptr::eq(entry.user.as_ptr(), Arc::as_ptr(user)) {
                entry.user = Weak::new();
            }
        }
        let next = next.map(|identity| Entry { identity, user: Arc::downgrade(user) });
        entries.extend(next);
        let unused = entries.iter().filter(|entry| !entry.is_in_use()).count();
        let mut excess = unused.saturating_sub(REMEMBERED);
        entries.retain(|entry| {
            let stays = excess == 0 || entry.is_in_use();
            excess -= usize::from(!stays);
            stays
        });
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_in_use(&self) -> bool {
        self.user.upgrade().is_some_and(|user| user.is_heard())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(run_id: &str, client_id: i64) -> Identity {
        Identity { run_id: run_id.to_owned(), client_id }
    }

    #[test]
    fn what_is_in_use_is_not_ended_but_what_was_is() {
        let register = Register::default();
        let (one, heard) = Told::new("one", None);
        let (two, _heard) = Told::new("two", None);
        register.go_over(Some(identity("a", 1)), &one);
        register.go_over(Some(identity("b", 1)), &one);
        register.go_over(Some(identity("a", 2)), &two);
        let next = identity("a", 3);
        assert_eq!(register.before(&next, &one), [identity("a", 1)], "not the other's");
        assert_eq!(register.before(&next, &two), [identity("a", 1), identity("a", 2)]);
        register.forget(&identity("a", 1));
        register.go_over(None, &one);
        assert_eq!(register.before(&identity("b", 2), &two), [identity("b", 1)]);
        register.forget(&identity("b", 1));
        register.go_over(Some(identity("b", 2)), &one);
        assert_eq!(register.before(&identity("b", 3), &two), []);
        // Its loop may not have heard of that yet.
        drop(heard);
        assert_eq!(register.before(&identity("b", 3), &two), [identity("b", 2)]);
    }

    #[test]
    fn the_oldest_that_nobody_uses_are_forgotten() {
        let register = Register::default();
        let (used, _heard) = Told::new("used", None);
        register.go_over(Some(identity("used", 0)), &used);
        let (other, _heard) = Told::new("other", None);
        for id in 0..1000 {
            register.go_over(Some(identity("gone", id)), &other);
        }
        let kept = register.before(&identity("gone", 1000), &other);
        assert_eq!(kept.len(), REMEMBERED + 1);
        assert_eq!(kept.last(), Some(&identity("gone", 999)));
        let used = register.before(&identity("used", 1), &used);
        assert_eq!(used, [identity("used", 0)]);
    }
}
