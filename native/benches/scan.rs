//! The search for written pages, by the size of the guest and by what it has written. The memory is this process's own:
//! the kernel's path is the same as for QEMU's.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::{PageTables, Tracker};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::sys::memory::{MemoryFile, SharedMapping};
use kemari_engine::sys::userfault::Userfault;

/// Tracked memory, and a set for what is found.
fn tracked(mib: usize) -> (Tracker, SharedMapping, PageSet) {
    let bytes = mib << 20;
    let file = MemoryFile::create("scanned", bytes).expect("memory");
    let ram = SharedMapping::new(&file).expect("mapping");
    let open = || Userfault::open_own().expect("userfaultfd");
    let tables = PageTables::attach(std::process::id(), [open(), open()], &file, Accel::Tcg);
    let mut tracker = Tracker::PageTables(tables.expect("a kernel that tracks"));
    tracker.rearm_all().expect("armed");
    (tracker, ram, PageSet::new(bytes / PAGE_BYTES))
}

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    for (mib, written) in [(256, 64), (256, 2500), (1024, 64), (4096, 64)] {
        let (mut tracker, mut ram, mut found) = tracked(mib);
        let pages = (mib << 20) / PAGE_BYTES;
        let name = BenchmarkId::new(format!("{mib} MiB"), format!("{written} written"));
        group.bench_function(name, |bencher| {
            // The writing itself is not measured.
            bencher.iter_custom(|times| {
                let mut total = std::time::Duration::ZERO;
                for time in 0..times {
                    for page in 0..written {
                        // In runs of eight.
                        let place = page / 8 * (pages * 8 / written) + page % 8;
                        ram.copy_in(place * PAGE_BYTES, &time.to_le_bytes());
                    }
                    found.clear();
                    let begin = std::time::Instant::now();
                    tracker.collect(&mut found, &mut || ()).expect("scan");
                    total += begin.elapsed();
                    black_box(found.count());
                }
                total
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
