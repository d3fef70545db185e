//! The newest reports of a stream.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Keeps the newest `max` of what was added, and at least the last one.
pub struct History<T> {
    entries: Mutex<VecDeque<T>>,
    max: usize,
}

impl<T: Clone> History<T> {
    /// A history of `max` entries.
    pub fn new(max: usize) -> Self {
        History { entries: Mutex::default(), max: max.max(1) }
    }

    /// Adds an entry; the oldest goes if there are too many.
    pub fn add(&self, entry: T) {
        let mut entries = self.entries.lock();
        if entries.len() >= self.max {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<T> {
        self.entries.lock().iter().cloned().collect()
    }

    /// The newest.
    pub fn last(&self) -> Option<T> {
        self.entries.lock().back().cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_the_last_one_stays() {
        let two = History::new(2);
        (1..=3).for_each(|n| two.add(n));
        assert_eq!((two.all(), two.last(), two.len()), (vec![2, 3], Some(3), 2));
        let none = History::new(0);
        none.add(1);
        assert_eq!(none.last(), Some(1));
    }
}
