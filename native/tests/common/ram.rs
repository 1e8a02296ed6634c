//! The guest's RAM as an engine holds it, read from outside.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::engine::Engine;
use super::eventually;
use super::proxy::Proxy;

const PAGE_BYTES: usize = 4096;

/// A copy of the guest's RAM.
pub struct Ram(Vec<u8>);

impl Ram {
    /// Reads the memory file that the engine shares with its QEMU.
    pub fn of(engine: &Engine) -> Self {
        Self::read(&file_of(engine))
    }

    fn read(file: &File) -> Self {
        let bytes = file.metadata().expect("size").len();
        let mut content = vec![0; usize::try_from(bytes).expect("fits")];
        file.read_exact_at(&mut content, 0).expect("read guest RAM");
        Self(content)
    }

    /// Pages in which it differs from another.
    pub fn differing_pages(&self, other: &Self) -> Vec<usize> {
        let pages = self.0.chunks(PAGE_BYTES).zip(other.0.chunks(PAGE_BYTES));
        pages
            .enumerate()
            .filter(|(_, (one, two))| one != two)
            .map(|(number, _)| number)
            .collect()
    }

    /// Changes one byte behind the engine's back.
    pub fn spoil(engine: &Engine, page: usize) {
        let (file, at) = (file_of(engine), (page * PAGE_BYTES + 8) as u64);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("read guest RAM");
        file.write_all_at(&[!byte[0]], at).expect("write guest RAM");
    }

    /// Fails if a page differs, naming the first ones.
    pub fn must_equal(&self, other: &Self, what: &str) {
        assert_eq!(self.0.len(), other.0.len(), "{what}");
        let different = self.differing_pages(other);
        assert!(
            different.is_empty(),
            "{what}: {} of {} pages differ, first {:?}",
            different.len(),
            self.0.len() / PAGE_BYTES,
            &different[..different.len().min(8)]
        );
    }

    /// Pages that are not all zero.
    pub fn used_pages(&self) -> usize {
        let is_used = |page: &&[u8]| page.iter().any(|&byte| byte != 0);
        self.0.chunks(PAGE_BYTES).filter(is_used).count()
    }
}

fn file_of(engine: &Engine) -> File {
    let folder = format!("/proc/{}/fd", engine.pid());
    let found: Vec<_> = fs::read_dir(&folder)
        .expect("descriptors")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            fs::read_link(path)
                .is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:kemari-ram"))
        })
        .filter_map(|path| Some((fs::metadata(&path).ok()?.ino(), path)))
        .collect();
    // Whoever maps it may hold a descriptor of its own.
    let inodes: HashSet<u64> = found.iter().map(|(inode, _)| *inode).collect();
    assert_eq!(inodes.len(), 1, "one guest, one memory file: {found:?}");
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .open(&found[0].1)
        .expect("open guest RAM")
}

/// A switchover gives the moment at which both RAMs stand still: the guest is stopped for good here, and has not begun there.
/// `proxy` is the one before `second`. Returns how many pages are in use.
pub fn switch_over_with_equal_ram(
    first: &Engine,
    second: &Engine,
    proxy: &Proxy,
    generation: u64,
) -> usize {
    // Held open: a busy machine may need longer for all this than the primary waits for the answer, and then it gives its
    // guest up.
    let (our_file, their_file) = (file_of(first), file_of(second));
    proxy.withhold_handover_ack();
    let demotion = first.order_later(json!({"command": "demote", "timeout_ms": 90_000}));
    eventually("the guest is offered", || proxy.offered().then_some(()));
    second.wait_state("handed-over");
    let (ours, theirs) = (Ram::read(&our_file), Ram::read(&their_file));
    ours.must_equal(&theirs, "primary and secondary, in sync");
    // They do stand still.
    thread::sleep(Duration::from_millis(100));
    ours.must_equal(&Ram::read(&our_file), "a guest that is stopped");
    // The answer is lost: the guest may run there, so it never runs here again.
    proxy.heal();
    let outcome = demotion.join().expect("thread").expect("demote");
    assert_eq!(outcome["demoted"], "discarded");
    first.wait_state("empty");
    second.promote("hot", generation).expect("promote");
    ours.used_pages()
}
