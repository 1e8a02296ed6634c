//! A mean that forgets.

/// How much of the newest value is taken over.
const SHARE: f64 = 1.0 / 16.0;
/// The same for a time that is longer than the mean.
const DOUBTED_SHARE: f64 = 1.0 / 128.0;
/// A value beyond this many times the mean counts as that: a host that was busy elsewhere says little about the work.
const OUTLIER: f64 = 4.0;

/// Of the last values, the newest weigh most.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Average {
    mean: Option<f64>,
}

impl Average {
    pub(super) fn add(&mut self, value: f64) {
        self.mean = Some(match self.mean {
            None => value,
            // From nothing a mean could never grow by bounded steps.
            Some(mean) if mean <= 0.0 => mean + (value - mean) * SHARE,
            Some(mean) => mean + (value.min(mean * OUTLIER) - mean) * SHARE,
        });
    }

    /// A time: one that a busy host has made longer is believed slowly, a shorter one at once.
    pub(super) fn add_time(&mut self, ns: f64) {
        match self.mean {
            Some(mean) if ns > mean => {
                self.mean = Some(mean + (ns.min(mean * OUTLIER) - mean) * DOUBTED_SHARE);
            }
            _ => self.add(ns),
        }
    }

    pub(super) fn or(&self, unknown: f64) -> f64 {
        self.mean.unwrap_or(unknown)
    }

    pub(super) fn is_known(&self) -> bool {
        self.mean.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_a_change_and_not_one_stray_value() {
        let mut average = Average::default();
        assert_eq!((average.is_known(), average.or(7.0).round()), (false, 7.0));
        average.add(100.0);
        average.add(1e9);
        assert!(average.or(0.0) < 120.0);
        for _ in 0..200 {
            average.add(1000.0);
        }
        assert!((990.0..=1000.0).contains(&average.or(0.0)));
        for _ in 0..400 {
            average.add(0.0);
        }
        assert!(average.or(9.0) < 1.0);
        average = Average::default();
        for _ in 0..100 {
            // Every third one was interrupted.
            for ns in [800.0, 900.0, 5000.0] {
                average.add_time(ns);
            }
        }
        assert!(
            (700.0..1300.0).contains(&average.or(0.0)),
            "{}",
            average.or(0.0)
        );
        for _ in 0..1000 {
            average.add_time(4000.0);
        }
        assert!(average.or(0.0) > 3900.0);
        average = Average::default();
        average.add(0.0);
        average.add(160.0);
        assert!(average.or(0.0) > 9.0);
    }
}
