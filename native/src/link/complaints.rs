//! What is wrong with a peer, said once: the first of a kind at once, those after it only as a number, once in a while.
//! Nobody can fill the log by calling or by answering.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::limits::{COMPLAINTS_APART, COMPLAINTS_MAX};

/// What was said of which kind of fault.
#[derive(Debug)]
pub(crate) struct Complaints<K> {
    kinds: BTreeMap<K, Said>,
}

impl<K> Default for Complaints<K> {
    fn default() -> Self {
        Self {
            kinds: BTreeMap::new(),
        }
    }
}

#[derive(Debug)]
struct Said {
    at: Instant,
    /// How often it came since then.
    unsaid: u64,
}

impl<K: Ord + Clone> Complaints<K> {
    /// Notes a fault; whether it should be said. Of a peer that always finds a new one only the first [`COMPLAINTS_MAX`] are.
    pub(crate) fn note(&mut self, kind: K, now: Instant) -> bool {
        if self.kinds.len() >= COMPLAINTS_MAX && !self.kinds.contains_key(&kind) {
            return false;
        }
        let mut is_new = false;
        let said = self.kinds.entry(kind).or_insert_with(|| {
            is_new = true;
            Said { at: now, unsaid: 0 }
        });
        said.unsaid += u64::from(!is_new);
        is_new
    }

    /// The faults that came again since they were last said, and how often. Those that did not are new when they come
    /// back.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(K, u64)> {
        let mut due = Vec::new();
        self.kinds.retain(|kind, said| {
            if now.saturating_duration_since(said.at) < COMPLAINTS_APART {
                return true;
            }
            let is_alive = said.unsaid > 0;
            if is_alive {
                due.push((kind.clone(), said.unsaid));
                *said = Said { at: now, unsaid: 0 };
            }
            is_alive
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_once_and_then_counted() {
        let start = Instant::now();
        let mut complaints = Complaints::default();
        assert!(complaints.note("key", start));
        assert!(complaints.note("version", start));
        for _ in 0..1000 {
            assert!(!complaints.note("key", start));
        }
        assert!(complaints.due(start).is_empty());
        let later = start + COMPLAINTS_APART;
        assert_eq!(complaints.due(later), [("key", 1000)]);
        assert!(complaints.due(later).is_empty());
        assert!(!complaints.note("key", later), "it has not been away");
        assert!(complaints.note("version", later), "it has");
        assert_eq!(complaints.due(later + COMPLAINTS_APART), [("key", 1)]);
        assert!(complaints.due(later + 2 * COMPLAINTS_APART).is_empty());
        assert!(complaints.note("key", later + 2 * COMPLAINTS_APART));
    }

    #[test]
    fn one_that_always_finds_a_new_fault_is_not_always_heard() {
        let start = Instant::now();
        let mut complaints = Complaints::default();
        let said = (0..1000).filter(|number| complaints.note(*number, start));
        assert_eq!(said.count(), COMPLAINTS_MAX);
        let later = start + COMPLAINTS_APART;
        complaints.due(later);
        assert!(complaints.note(1000, later), "a while later it may be");
    }
}
