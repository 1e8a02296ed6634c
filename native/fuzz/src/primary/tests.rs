//! Where the seeds lead, and what a guest has of that.

use super::*;

/// What was told of what leads somewhere: Sync-begin, Trial, Commit, Handover and End.
fn told(host: &Host) -> String {
    let letters = [
        (FrameKind::SyncBegin, 'S'),
        (FrameKind::Trial, 'T'),
        (FrameKind::Commit, 'C'),
        (FrameKind::Handover, 'H'),
        (FrameKind::End, 'E'),
    ];
    let letter = |told: &u8| {
        let mut known = letters.iter();
        known.find(|(kind, _)| *kind as u8 == *told)
    };
    host.all_told
        .iter()
        .filter_map(letter)
        .map(|(_, letter)| letter)
        .collect()
}

#[test]
fn the_seeds_lead_through_whole_conversations() {
    // With the packets that have left, and those that the guest has sent.
    let expected = [
        ("STCCCCCH", 12, 13),
        ("STCCCE", 4, 4),
        ("STCCCSTCC", 12, 13),
        ("STSTCC", 36, 37),
        ("STCCC", 7, 9),
        ("STCCCC", 8, 11),
    ];
    for (seed, expected) in seeds().iter().zip(expected) {
        let host = play(seed);
        let sent = host.life.borrow().sent;
        assert_eq!((told(&host).as_str(), host.gate.out.get(), sent), expected);
    }
}

#[test]
fn nothing_is_allocated_while_the_guest_stands_still() {
    let mut beyond_staging = Vec::new();
    for seed in seeds() {
        let host = play(&seed);
        let life = host.life.borrow();
        let pauses = &life.pauses.all;
        println!("{pauses:?}");
        assert!(
            !pauses.is_empty() && pauses.iter().all(|(_, asked)| *asked == 0),
            "{pauses:?}"
        );
        let staged = host.engine.sizes.staging_pages;
        let pages = pauses.iter().map(|(pages, _)| *pages);
        beyond_staging.extend(pages.filter(|pages| *pages > staged));
    }
    // Of a trial, of an epoch, and of one with all pages that there are.
    assert_eq!(beyond_staging, [7, 5, 32]);
}
