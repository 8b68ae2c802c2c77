//! Deliveries that wait to be asked again.

use std::collections::VecDeque;

/// Who found no buffer at all comes before who was served: under overload those who are asked first would have all buffers
/// each time, and others none.
#[derive(Debug, Default)]
pub(super) struct Hungry {
    unserved: VecDeque<usize>,
    served: VecDeque<usize>,
}

impl Hungry {
    pub(super) fn is_empty(&self) -> bool {
        self.unserved.is_empty() && self.served.is_empty()
    }

    /// Sees to it that none of so many has to wait for memory.
    pub(super) fn reserve(&mut self, deliveries: usize) {
        for queue in [&mut self.unserved, &mut self.served] {
            queue.reserve(deliveries.saturating_sub(queue.len()));
        }
    }

    pub(super) fn push(&mut self, key: usize, served: bool) {
        let queue = if served { &mut self.served } else { &mut self.unserved };
        queue.push_back(key);
    }

    /// Puts back who was to be asked and could not be.
    pub(super) fn put_back(&mut self, key: usize) {
        self.unserved.push_front(key);
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        self.unserved.pop_front().or_else(|| self.served.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_served_comes_first_and_each_in_its_order() {
        let mut hungry = Hungry::default();
        for (key, served) in [(1, true), (2, false), (3, true), (4, false)] {
            hungry.push(key, served);
        }
        hungry.put_back(5);

        assert_eq!(std::iter::from_fn(|| hungry.pop()).collect::<Vec<_>>(), [5, 2, 4, 1, 3]);
        assert!(hungry.is_empty());
    }
}
