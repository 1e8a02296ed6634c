//! What is chosen, whatever was measured.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const RAW: Encoding = Encoding {
    changes: false,
    codec: None,
};

/// One thing that was measured.
#[derive(Debug, Clone)]
enum Measured {
    Encoded(bool, u64, u64, u64),
    Noted(u64, u64),
    Tried(Codec, u64, u64, u64),
    Link(f64),
    Settle,
    Wish(Compression),
}

fn compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(
        &[
            Compression::Off,
            Compression::Lz4,
            Compression::Zstd,
            Compression::Auto,
        ][..],
    )
}

fn measured() -> impl Strategy<Value = Measured> {
    let (pages, ns) = (0..5000u64, 0..10_000_000u64);
    let codec = prop::sample::select(&Codec::ALL[..]);
    prop_oneof![
        4 => (any::<bool>(), pages.clone(), 0..20_000_000u64, ns.clone())
            .prop_map(|(changes, pages, bytes, ns)| Measured::Encoded(changes, pages, bytes, ns)),
        2 => (pages, ns.clone()).prop_map(|(pages, ns)| Measured::Noted(pages, ns)),
        2 => (codec, 0..100_000u64, 0..100_000u64, ns)
            .prop_map(|(codec, plain, packed, ns)| Measured::Tried(codec, plain, packed, ns)),
        2 => (0.0..1000.0f64).prop_map(Measured::Link),
        4 => Just(Measured::Settle),
        1 => compression().prop_map(Measured::Wish),
    ]
}

fn take(chooser: &mut Chooser, measured: &Measured) {
    match *measured {
        Measured::Encoded(changes, pages, bytes, ns) => {
            let codec = chooser.settled().codec;
            chooser.encoded(Encoding { changes, codec }, pages, bytes, ns);
        }
        Measured::Noted(pages, ns) => chooser.noted(pages, ns),
        Measured::Tried(codec, plain, packed, ns) => chooser.tried(codec, plain, packed, ns),
        Measured::Link(ns) => chooser.link(ns),
        Measured::Settle => chooser.settle(),
        Measured::Wish(compression) => chooser.wish(compression),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]
    /// What is settled on is never clearly more expensive than anything else, by its own measurements, and a step always
    /// leads to something cheaper.
    #[test]
    fn nothing_is_chosen_that_was_measured_to_be_clearly_more_expensive(
        compression in compression(),
        epochs in any::<bool>(),
        steps in vec(measured(), 1..200),
    ) {
        let mut chooser = Chooser::new(compression, epochs);
        for step in steps {
            let before = chooser.settled();
            take(&mut chooser, &step);
            let after = chooser.settled();
            prop_assert!(chooser.possible().any(|it| it == after));
            prop_assert!(epochs || !chooser.next().changes);
            prop_assert_eq!(chooser.next().codec, after.codec);
            if matches!(step, Measured::Settle) {
                let cost = chooser.cost(after);
                for other in chooser.possible() {
                    prop_assert!(cost * CLEARLY_LESS <= chooser.cost(other), "{after:?}, not {other:?}");
                }
                if before != after {
                    prop_assert!(cost < chooser.cost(before) * CLEARLY_LESS);
                }
            }
        }
    }

    /// Measurements that tremble by a tenth do not make it change its mind.
    #[test]
    fn it_does_not_swing(noise in vec(0.95..1.05f64, 600), link in 0.1..200.0f64, bytes in 50..4096u64) {
        let (mut chooser, mut changes) = (Chooser::for_epochs(Compression::Auto), 0);
        for (round, noise) in noise.into_iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let trembling = |value: f64| (value * noise) as u64;
            let before = chooser.settled();
            chooser.encoded(chooser.next(), 100, bytes * 100, trembling(60_000.0));
            chooser.noted(100, trembling(50_000.0));
            chooser.tried(Codec::Lz4, 16_384, 7000, trembling(30_000.0));
            chooser.tried(Codec::Zstd, 16_384, 5500, trembling(90_000.0));
            chooser.link(link * noise);
            chooser.settle();
            changes += usize::from(round > 50 && chooser.settled() != before);
        }
        prop_assert!(changes <= 1, "{changes} changes");
    }
}

/// A guest like those of the tests: 60 pages an epoch, a tenth of each changed, packed to 45%.
fn settle_over(link_ns_per_byte: f64, compression: Compression) -> Encoding {
    let mut chooser = Chooser::for_epochs(compression);
    for _ in 0..600 {
        let encoding = chooser.next();
        let bytes = if encoding.changes { 400 } else { 4096 };
        let ns = if encoding.changes { 700 } else { 400 };
        chooser.encoded(encoding, 60, 60 * bytes, 60 * ns);
        if encoding.changes {
            chooser.noted(60, 60 * 600);
        }
        if let Some(codec) = chooser.trial() {
            let (packed, ns) = match codec {
                Codec::Lz4 => (7400, 30_000),
                Codec::Zstd => (5000, 110_000),
            };
            chooser.tried(codec, 16_384, packed, ns);
        }
        chooser.link(link_ns_per_byte);
        chooser.settle();
    }
    chooser.settled()
}

#[test]
fn a_fast_link_gets_changes_and_a_slow_one_gets_them_packed() {
    let names = [0.3, 1.0, 8.0, 80.0].map(|ns| settle_over(ns, Compression::Auto).shown());
    // Memory, 8 Gbit/s, 1 Gbit/s, 100 Mbit/s.
    assert_eq!(
        names,
        [
            EncodingName::Delta,
            EncodingName::Delta,
            EncodingName::Lz4,
            EncodingName::Zstd
        ]
    );
    for (wish, name) in [
        (Compression::Off, EncodingName::Delta),
        (Compression::Lz4, EncodingName::Lz4),
        (Compression::Zstd, EncodingName::Zstd),
    ] {
        for ns in [0.3, 80.0] {
            assert_eq!(settle_over(ns, wish).shown(), name);
        }
    }
}

#[test]
fn pages_that_are_all_new_travel_whole_and_changes_are_looked_at_again() {
    let mut chooser = Chooser::for_epochs(Compression::Off);
    let mut trials = 0;
    let epoch = |chooser: &mut Chooser, changed_bytes: u64| {
        let encoding = chooser.next();
        let (bytes, ns) = if encoding.changes {
            chooser.noted(60, 60 * 700);
            (changed_bytes, 1100)
        } else {
            (4096, 400)
        };
        chooser.encoded(encoding, 60, 60 * bytes, 60 * ns);
        chooser.link(1.0);
        chooser.settle();
        encoding.changes
    };
    for _ in 0..600 {
        epoch(&mut chooser, 4096);
    }
    assert_eq!(chooser.settled(), RAW);
    for _ in 0..EPOCHS_BETWEEN_TRIALS * 4 {
        trials += u32::from(epoch(&mut chooser, 4096));
    }
    assert_eq!(trials, 4);
    for _ in 0..EPOCHS_BETWEEN_TRIALS * 60 {
        epoch(&mut chooser, 20);
    }
    assert!(chooser.settled().changes);
}

#[test]
fn each_codec_is_tried_at_once_and_then_now_and_then_unless_the_user_has_chosen() {
    let trials = |compression| {
        let mut chooser = Chooser::for_baseline(compression);
        (0..EPOCHS_BETWEEN_TRIALS * 4)
            .filter_map(|epoch| {
                let trial = chooser.trial();
                chooser.settle();
                trial.map(|codec| (epoch, codec))
            })
            .collect::<Vec<_>>()
    };
    let between = EPOCHS_BETWEEN_TRIALS;
    assert_eq!(
        trials(Compression::Auto),
        [
            (0, Codec::Lz4),
            (1, Codec::Zstd),
            (between + 1, Codec::Zstd),
            (2 * between + 1, Codec::Lz4),
            (3 * between + 1, Codec::Zstd),
        ]
    );
    for chosen in [Compression::Off, Compression::Lz4, Compression::Zstd] {
        assert_eq!(trials(chosen), []);
    }
}
