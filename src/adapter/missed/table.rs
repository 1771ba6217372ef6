//! What is owed: keys, and past a number of them their patterns.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::clock::Moment;
use crate::key::Pattern;

/// The keys that are to be deleted, each once, and what stands for those that were too many.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) at_most: usize,
    /// Whether somebody is at work on each part.
    pub(super) has_task: [bool; Part::ALL.len()],
    keys: HashMap<Box<str>, Key>,
    /// Those that are not denied, in the order in which they were first missed.
    order: BTreeMap<u64, Box<str>>,
    /// Those that are, in the order in which they were last tried.
    denied: BTreeMap<u64, Box<str>>,
    /// The slots of keys whose node was away, and how many in each: nothing is read there.
    away: HashMap<u16, usize>,
    patterns: BTreeMap<Pattern, Past>,
    /// Counts what is missed, and each try of what is denied.
    next: u64,
}

/// What is owed in a way of its own, none of which waits for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Many in one call.
    Keys,
    /// This user may not touch them, and has all that goes with one of them refused.
    Denied,
    Patterns,
}

#[derive(Debug)]
struct Key {
    /// Its place among those that are denied, or those that are not.
    at: u64,
    last: u64,
    slot: u16,
    is_away: bool,
    is_denied: bool,
    /// By when it is likely to have come to its own end.
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

/// What is owed of a part at one moment.
pub(super) struct Owed {
    /// In the order in which they are to be tried.
    pub(super) keys: Vec<String>,
    pub(super) patterns: Vec<Pattern>,
    until: u64,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Keys, Self::Denied, Self::Patterns];
}

impl Table {
    pub(super) fn new(at_most: usize) -> Self {
        Self {
            at_most,
            has_task: Default::default(),
            keys: HashMap::new(),
            order: BTreeMap::new(),
            denied: BTreeMap::new(),
            away: HashMap::new(),
            patterns: BTreeMap::new(),
            next: 0,
        }
    }

    /// A key that may live for so long was not deleted: its node was away, or refused. The part that has
    /// more to do now.
    pub(super) fn add(&mut self, key: &str, slot: u16, is_away: bool, lives: Duration) -> Part {
        let now = self.next();
        let ends = Moment::now().after(lives);
        if let Some(known) = self.keys.get_mut(key) {
            (known.last, known.ends) = (now, known.ends.max(ends));
            if is_away && !std::mem::replace(&mut known.is_away, true) {
                *self.away.entry(slot).or_default() += 1;
                // All of its slot waits for it.
                self.moves(key, false);
            }
            return Part::Keys;
        }
        if self.keys.len() >= self.at_most {
            let past = self.patterns.entry(Pattern::of(key)).or_insert(Past {
                last: now,
                ends,
                stays: false,
            });
            (past.last, past.ends) = (now, past.ends.max(ends));
            return Part::Patterns;
        }
        if is_away {
            *self.away.entry(slot).or_default() += 1;
        }
        let known = Key { at: now, last: now, slot, is_away, is_denied: false, ends };
        self.keys.insert(key.into(), known);
        self.order.insert(now, key.into());
        Part::Keys
    }

    pub(super) fn withholds(&self, key: &str, slot: u16) -> bool {
        self.away.contains_key(&slot)
            || self.keys.contains_key(key)
            || self.patterns.contains_key(&Pattern::of(key))
    }

    pub(super) fn owed(&self) -> usize {
        self.keys.len() + self.patterns.len()
    }

    pub(super) fn owed_of(&self, part: Part) -> usize {
        match part {
            Part::Keys => self.order.len(),
            Part::Denied => self.denied.len(),
            Part::Patterns => self.patterns.len(),
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = Pattern> {
        self.patterns.keys().copied()
    }

    /// So much of what is owed of a part now. A pattern that nobody can sweep is owed no more once its keys
    /// have ended by themselves.
    pub(super) fn all(&mut self, part: Part, at_most: usize) -> Owed {
        let (mut keys, mut patterns) = (Vec::new(), Vec::new());
        let texts = |order: &BTreeMap<u64, Box<str>>| {
            order.values().take(at_most).map(|key| String::from(&**key)).collect()
        };
        match part {
            Part::Keys => keys = texts(&self.order),
            Part::Denied => keys = texts(&self.denied),
            Part::Patterns => {
                let now = Moment::now();
                self.patterns.retain(|_, past| !past.stays || past.ends > now);
                patterns = self.patterns().collect();
            }
        }
        Owed { keys, patterns, until: self.next }
    }

    /// The node of these is there, and refused to delete them: what lies beside them can be read.
    pub(super) fn refused<'k>(&mut self, owed: &Owed, keys: impl IntoIterator<Item = &'k String>) {
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

    /// This one was refused alone, because this user may not, or for another reason.
    pub(super) fn refused_alone(&mut self, owed: &Owed, key: &String, is_denied: bool) {
        self.refused(owed, [key]);
        if self.keys.get(&**key).is_some_and(|known| known.last < owed.until) {
            self.moves(key, is_denied);
        }
    }

    /// Whether a key is likely to have come to its own end.
    pub(super) fn has_ended(&self, key: &str) -> bool {
        self.keys.get(key).is_none_or(|known| known.ends <= Moment::now())
    }

    /// To the end of those that are denied, or from there to the end of those that are not.
    fn moves(&mut self, key: &str, is_denied: bool) {
        let now = self.next();
        let Some(known) = self.keys.get_mut(key) else { return };
        if !is_denied && !known.is_denied {
            return;
        }
        let was_at = std::mem::replace(&mut known.at, now);
        let was_denied = std::mem::replace(&mut known.is_denied, is_denied);
        if let Some(key) = self.turns(was_denied).remove(&was_at) {
            self.turns(is_denied).insert(now, key);
        }
    }

    /// The order of those that are denied, or of those that are not.
    fn turns(&mut self, is_denied: bool) -> &mut BTreeMap<u64, Box<str>> {
        if is_denied { &mut self.denied } else { &mut self.order }
    }

    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
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
    pub(super) fn deleted<'k>(&mut self, owed: &Owed, keys: impl IntoIterator<Item = &'k String>) {
        for key in keys {
            if self.keys.get(&**key).is_none_or(|known| known.last >= owed.until) {
                continue;
            }
            if let Some(known) = self.keys.remove(&**key) {
                self.turns(known.is_denied).remove(&known.at);
                if known.is_away {
                    self.back(known.slot);
                }
            }
        }
    }

    /// Whether nobody can delete the keys of this pattern, as it looks now.
    pub(super) fn unswept(&mut self, pattern: Pattern, stays: bool) {
        if let Some(past) = self.patterns.get_mut(&pattern) {
            past.stays = stays;
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

    fn all(table: &mut Table) -> Owed {
        table.all(Part::Keys, usize::MAX)
    }

    fn patterns(table: &mut Table) -> Owed {
        table.all(Part::Patterns, usize::MAX)
    }

    #[test]
    fn a_key_that_is_missed_twice_is_owed_once_and_in_its_first_place() {
        let mut table = Table::new(10);
        for key in ["b", "a", "b", "c"] {
            add(&mut table, key);
        }
        assert_eq!(
            (all(&mut table).keys, table.owed()),
            (vec!["b".into(), "a".into(), "c".into()], 3)
        );
    }

    #[test]
    fn what_is_missed_again_while_it_is_deleted_stays_owed() {
        let mut table = Table::new(10);
        add(&mut table, "a");
        add(&mut table, "b");
        let owed = all(&mut table);
        add(&mut table, "b");
        table.deleted(&owed, owed.keys.iter());
        assert_eq!(all(&mut table).keys, ["b"]);
        assert!(table.withholds("any in this slot", 7) && !table.withholds("b2", 8));
        let owed = all(&mut table);
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
        let owed = all(&mut table);
        table.refused(&owed, owed.keys.iter());
        assert!(table.withholds("a", 7) && !table.withholds("b", 7));
        table.deleted(&owed, owed.keys.iter());
        assert!(!table.withholds("a", 7) && table.away.is_empty());
    }

    #[test]
    fn those_that_are_denied_take_turns_apart_until_their_node_was_away() {
        let mut table = Table::new(10);
        for key in ["a", "b", "sound"] {
            table.add(key, 7, false, LONG);
        }
        let owed = all(&mut table);
        for key in &owed.keys[..2] {
            table.refused_alone(&owed, key, true);
        }
        let denied = |table: &mut Table| table.all(Part::Denied, 1).keys;
        assert_eq!(
            (all(&mut table).keys, denied(&mut table)),
            (vec!["sound".into()], vec!["a".into()])
        );
        let owed = table.all(Part::Denied, 1);
        table.refused_alone(&owed, &owed.keys[0], true);
        assert_eq!(denied(&mut table), ["b"], "the other one's turn");
        let owed = table.all(Part::Denied, 2);
        table.refused_alone(&owed, &owed.keys[0], false);
        assert_eq!(all(&mut table).keys, ["sound", "b"], "refused for another reason");
        add(&mut table, "a");
        assert_eq!(all(&mut table).keys, ["sound", "b", "a"]);
        assert!(table.withholds("any in this slot", 7) && denied(&mut table).is_empty());
        let owed = all(&mut table);
        table.deleted(&owed, &owed.keys);
        assert_eq!((table.owed(), table.order.len(), table.away.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_refused_is_owed_however_long_it_lasts() {
        let mut table = Table::new(10);
        table.add("k", 7, false, Duration::ZERO);
        assert!(table.has_ended("k") && all(&mut table).keys == ["k"]);
        table.add("k", 7, false, LONG);
        assert!(!table.has_ended("k"));
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
        let owed = patterns(&mut table);
        assert_eq!(owed.patterns, [Pattern::User, Pattern::RefreshToken], "it may be swept");
        table.unswept(Pattern::RefreshToken, false);
        assert_eq!(patterns(&mut table).patterns.len(), 2, "it may be swept later");
        table.unswept(Pattern::RefreshToken, true);
        let owed = patterns(&mut table);
        assert_eq!(owed.patterns, [Pattern::User], "what lived for no time has ended");
        add(&mut table, "user:late");
        table.swept(&owed, Pattern::User);
        assert!(table.withholds("user:of another", 9), "one came while it was swept");
        let owed = patterns(&mut table);
        table.swept(&owed, Pattern::User);
        assert!(!table.withholds("user:of another", 9));
    }
}
