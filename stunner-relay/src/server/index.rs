//! An index of places in a slab, by the hash of what stands there: eight bytes for each, whatever the key is.

use hashbrown::HashTable;

/// Where something is, by a hash of its key. What it finds are candidates: whoever asks compares the key itself.
#[derive(Debug, Default)]
pub(super) struct Index(HashTable<Entry>);

/// The key's own bytes are where `place` leads, which has to be read anyway: here they would only fill the caches.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    place: u32,
}

impl Entry {
    /// The table takes places from the low bits, and its seven bits of control from the high ones.
    const fn hash(self) -> u64 {
        (self.tag as u64) << 32 | self.tag as u64
    }
}

impl Index {
    /// The place of what has this hash and `is_it`.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let entry = Entry { tag, place: 0 };
        self.0.find(entry.hash(), |found| found.tag == tag && is_it(found.place)).map(|found| found.place)
    }

    /// Adds a place; it may have several keys.
    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        let entry = Entry { tag: tag(hash), place };
        self.0.insert_unique(entry.hash(), entry, |entry| entry.hash());
    }

    /// Takes one key of a place away.
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        let entry = Entry { tag: tag(hash), place };
        if let Ok(found) =
            self.0.find_entry(entry.hash(), |found| (found.tag, found.place) == (entry.tag, place))
        {
            found.remove();
        }
    }
}

/// The half of a hash that is kept.
#[expect(clippy::cast_possible_truncation, reason = "that is the purpose")]
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_the_same_hash_are_told_apart_by_who_asks() {
        let mut index = Index::default();
        (0..3).for_each(|place| index.insert(7, place));

        assert_eq!(index.find(7, |place| place == 1), Some(1));
        index.remove(7, 1);

        assert_eq!(index.find(7, |place| place == 1), None);
        assert_eq!(index.find(7, |place| place == 2), Some(2));
        assert_eq!(index.find(8, |_| true), None);
    }

    #[test]
    fn what_was_added_is_found_after_the_table_has_grown() {
        let mut index = Index::default();
        let hash = |place: u32| u64::from(place).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..10_000).for_each(|place| index.insert(hash(place), place));

        assert!((0..10_000).all(|place| index.find(hash(place), |found| found == place) == Some(place)));
    }
}
