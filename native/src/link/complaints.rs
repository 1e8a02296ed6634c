//! What is wrong with callers, said once: the first of a kind at once, those after it only as a number, once in a while.
//! Nobody can fill the log by calling.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::limits::COMPLAINTS_APART;

/// What was said of which kind of fault.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    kinds: BTreeMap<&'static str, Said>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    /// How often it came since then.
    unsaid: u64,
}

impl Complaints {
    /// Notes a fault; whether it should be said.
    pub(super) fn note(&mut self, kind: &'static str, now: Instant) -> bool {
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
    pub(super) fn due(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut due = Vec::new();
        self.kinds.retain(|kind, said| {
            if now.saturating_duration_since(said.at) < COMPLAINTS_APART {
                return true;
            }
            let is_alive = said.unsaid > 0;
            if is_alive {
                due.push((*kind, said.unsaid));
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
}
