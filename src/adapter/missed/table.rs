//! What is owed: keys, and past a number of them their patterns.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::clock::Moment;
use crate::key::Pattern;

/// The keys that are to be deleted, each once, and what stands for those that were too many.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) at_most: usize,
    pub(super) has_task: bool,
    keys: HashMap<Box<str>, Key>,
    /// The same in the order in which they were first missed.
    order: BTreeMap<u64, Box<str>>,
    /// The slots of keys whose node was away, and how many in each: nothing is read there.
    away: HashMap<u16, usize>,
    patterns: BTreeMap<Pattern, Past>,
    /// Counts what is missed.
    next: u64,
}

#[derive(Debug)]
struct Key {
    first: u64,
    last: u64,
    slot: u16,
    is_away: bool,
    /// By when it has come to its own end.
    ends: Moment,
}

/// Keys of a pattern that were too many to remember.
#[derive(Debug)]
struct Past {
    last: u64,
    /// By when the last of them has come to its own end.
    ends: Moment,
    /// Whether that is all there is to wait for: nobody can delete them.
    stays: bool,
}

/// What is owed at one moment.
pub(super) struct Owed {
    /// In the order in which they were first missed.
    pub(super) keys: Vec<String>,
    pub(super) patterns: Vec<Pattern>,
    until: u64,
}

impl Table {
    pub(super) fn new(at_most: usize) -> Self {
        Self {
            at_most,
            has_task: false,
            keys: HashMap::new(),
            order: BTreeMap::new(),
            away: HashMap::new(),
            patterns: BTreeMap::new(),
            next: 0,
        }
    }

    /// A key that may live for so long was not deleted: its node was away, or refused.
    pub(super) fn add(&mut self, key: &str, slot: u16, is_away: bool, lives: Duration) {
        let now = self.next;
        self.next += 1;
        let ends = Moment::now().after(lives);
        if let Some(known) = self.keys.get_mut(key) {
            (known.last, known.ends) = (now, known.ends.max(ends));
            if is_away && !known.is_away {
                known.is_away = true;
                *self.away.entry(slot).or_default() += 1;
            }
            return;
        }
        if self.keys.len() >= self.at_most {
            let past = self.patterns.entry(Pattern::of(key)).or_insert(Past {
                last: now,
                ends,
                stays: false,
            });
            (past.last, past.ends) = (now, past.ends.max(ends));
            return;
        }
        if is_away {
            *self.away.entry(slot).or_default() += 1;
        }
        self.keys.insert(key.into(), Key { first: now, last: now, slot, is_away, ends });
        self.order.insert(now, key.into());
    }

    pub(super) fn withholds(&self, key: &str, slot: u16) -> bool {
        self.away.contains_key(&slot)
            || self.keys.contains_key(key)
            || self.patterns.contains_key(&Pattern::of(key))
    }

    pub(super) fn owed(&self) -> usize {
        self.keys.len() + self.patterns.len()
    }

    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = Pattern> {
        self.patterns.keys().copied()
    }

    /// All that is owed now. A key that is refused, and a pattern that nobody can sweep, is owed no more once
    /// it has ended by itself.
    pub(super) fn all(&mut self) -> Owed {
        let now = Moment::now();
        self.patterns.retain(|_, past| !past.stays || past.ends > now);
        let order = &mut self.order;
        self.keys.retain(|_, key| {
            let stays = key.is_away || key.ends > now;
            if !stays {
                order.remove(&key.first);
            }
            stays
        });
        Owed {
            keys: self.order.values().map(|key| String::from(&**key)).collect(),
            patterns: self.patterns().collect(),
            until: self.next,
        }
    }

    /// The node of these is there, and refused to delete them: what lies beside them can be read.
    pub(super) fn refused<'k>(&mut self, owed: &Owed, keys: impl Iterator<Item = &'k String>) {
        for key in keys {
            if let Some(known) = self.keys.get_mut(&**key)
                && known.last < owed.until
                && std::mem::take(&mut known.is_away)
            {
                let slot = known.slot;
                self.back(slot);
            }
        }
    }

    /// One key less of a slot whose node was away.
    fn back(&mut self, slot: u16) {
        if let Some(count) = self.away.get_mut(&slot) {
            *count -= 1;
            if *count == 0 {
                self.away.remove(&slot);
            }
        }
    }

    /// These of what was owed are deleted; what was missed since then stays owed.
    pub(super) fn deleted<'k>(&mut self, owed: &Owed, keys: impl Iterator<Item = &'k String>) {
        for key in keys {
            if self.keys.get(&**key).is_none_or(|known| known.last >= owed.until) {
                continue;
            }
            if let Some(known) = self.keys.remove(&**key) {
                self.order.remove(&known.first);
                if known.is_away {
                    self.back(known.slot);
                }
            }
        }
    }

    /// Nobody can delete the keys of this pattern, for now.
    pub(super) fn unswept(&mut self, pattern: Pattern) {
        if let Some(past) = self.patterns.get_mut(&pattern) {
            past.stays = true;
        }
    }

    /// All keys of a pattern that was owed are deleted.
    pub(super) fn swept(&mut self, owed: &Owed, pattern: Pattern) {
        if self.patterns.get(&pattern).is_some_and(|past| past.last < owed.until) {
            self.patterns.remove(&pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn add(table: &mut Table, key: &str) {
        table.add(key, 7, true, LONG);
    }

    #[test]
    fn a_key_that_is_missed_twice_is_owed_once_and_in_its_first_place() {
        let mut table = Table::new(10);
        for key in ["b", "a", "b", "c"] {
            add(&mut table, key);
        }
        assert_eq!((table.all().keys, table.owed()), (vec!["b".into(), "a".into(), "c".into()], 3));
    }

    #[test]
    fn what_is_missed_again_while_it_is_deleted_stays_owed() {
        let mut table = Table::new(10);
        add(&mut table, "a");
        add(&mut table, "b");
        let owed = table.all();
        add(&mut table, "b");
        table.deleted(&owed, owed.keys.iter());
        assert_eq!(table.all().keys, ["b"]);
        assert!(table.withholds("any in this slot", 7) && !table.withholds("b2", 8));
        let owed = table.all();
        table.deleted(&owed, owed.keys.iter());
        assert!(!table.withholds("b", 7) && table.owed() == 0);
    }

    #[test]
    fn a_node_that_refused_is_still_read_but_for_what_it_kept() {
        let mut table = Table::new(10);
        table.add("a", 7, false, LONG);
        assert!(table.withholds("a", 7) && !table.withholds("b", 7));
        table.add("a", 7, true, LONG);
        assert!(table.withholds("b", 7));
        let owed = table.all();
        table.refused(&owed, owed.keys.iter());
        assert!(table.withholds("a", 7) && !table.withholds("b", 7));
        table.deleted(&owed, owed.keys.iter());
        assert!(!table.withholds("a", 7) && table.away.is_empty());
    }

    #[test]
    fn what_is_refused_is_owed_until_it_has_ended() {
        let mut table = Table::new(10);
        table.add("ended", 7, false, Duration::ZERO);
        table.add("lives", 7, false, LONG);
        table.add("not known to be refused", 7, true, Duration::ZERO);
        assert_eq!(table.all().keys, ["lives", "not known to be refused"]);
        assert!(!table.keys.contains_key("ended") && table.order.len() == 2);
    }

    #[test]
    fn past_the_bound_a_pattern_stands_for_its_keys_until_they_are_swept_or_have_ended() {
        let mut table = Table::new(1);
        add(&mut table, "user:1");
        for at in 0..100_000 {
            table.add(&format!("user:{at}"), 7, true, LONG);
        }
        table.add("rt:hash:ff", 8, true, Duration::ZERO);
        assert_eq!((table.keys(), table.owed()), (1, 3));
        assert!(table.withholds("user:of another", 9) && table.withholds("rt:hash:00", 9));
        assert!(!table.withholds("user:42:state", 9));
        let owed = table.all();
        assert_eq!(owed.patterns, [Pattern::User, Pattern::RefreshToken], "it may be swept");
        table.unswept(Pattern::RefreshToken);
        let owed = table.all();
        assert_eq!(owed.patterns, [Pattern::User], "what lived for no time has ended");
        add(&mut table, "user:late");
        table.swept(&owed, Pattern::User);
        assert!(table.withholds("user:of another", 9), "one came while it was swept");
        let owed = table.all();
        table.swept(&owed, Pattern::User);
        assert!(!table.withholds("user:of another", 9));
    }
}
