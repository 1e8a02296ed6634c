//! From bytes that have arrived to a replica at their epoch: frames are read and checked, the transaction is put together
//! (that is when it is acknowledged), and applied to RAM.

mod common;

use std::hint::black_box;

use common::{Capture, Contents, GUEST_PAGES};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kemari_engine::limits::{PAGE_BYTES, Sizes};
use kemari_engine::sys::memory::{MemoryFile, SharedMapping};
use kemari_engine::wire::{
    Assembly, Base, CompleteTransaction, Content, Direction, FrameReader, Opening, Outgoing,
    Progress, Step, page_hash,
};

/// A whole transaction as it travels, the first of its connection.
fn transaction(capture: &Capture, contents: Contents) -> Vec<u8> {
    let mut direction = Direction::new();
    let mut outgoing = Outgoing::new();
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.begin(1, 1, &Opening::default());
    encoder.pages(&capture.body, &capture.runs, |number| {
        let bytes = capture.base(number);
        let hash = page_hash(bytes);
        matches!(contents, Contents::Changed).then_some(Base { bytes, hash })
    });
    encoder.device_state(&capture.body, capture.device_state.clone(), None);
    encoder.outputs([[0x55; 100].as_slice()]);
    encoder.commit();
    let mut wire = Vec::new();
    let written = outgoing.write_to(&mut wire, &capture.body);
    assert_eq!(written.expect("memory takes all"), Progress::Done);
    wire
}

/// As the replica does, which beside it keeps only what is small.
fn write(ram: &mut SharedMapping, transaction: CompleteTransaction<'_>) {
    let offset_of = |page: u64| usize::try_from(page).expect("small") * PAGE_BYTES;
    for run in transaction.runs() {
        let offset = offset_of(run.first_page);
        match run.content {
            Content::Raw(bytes) => ram.copy_in(offset, bytes),
            Content::Zero => ram.zero(offset, run.pages as usize * PAGE_BYTES),
        }
    }
    for delta in transaction.deltas() {
        for (offset, bytes) in delta.pieces() {
            ram.copy_in(offset_of(delta.page) + offset, bytes);
        }
    }
}

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for pages in [64, 2500] {
        for contents in Contents::ALL {
            let wire = transaction(&Capture::new(pages, contents), contents);
            let bytes = usize::try_from(GUEST_PAGES).expect("small") * PAGE_BYTES;
            let file = MemoryFile::create("applied", bytes).expect("memory");
            let mut ram = SharedMapping::new(&file).expect("mapping");
            let mut assembly = Assembly::new(GUEST_PAGES, Sizes::FULL.assembly_bytes);
            group.throughput(Throughput::Bytes((pages * PAGE_BYTES) as u64));
            group.bench_function(BenchmarkId::new(contents.name(), pages), |bencher| {
                bencher.iter_batched(
                    // Every transaction is the first of a connection.
                    FrameReader::new,
                    |mut reader| {
                        let mut socket = wire.as_slice();
                        assembly.expect(1, 1);
                        loop {
                            reader.fill(&mut socket).expect("memory gives all");
                            while let Some(frame) = reader.next().expect("a frame") {
                                let step = assembly.feed(&frame.header, frame.payload);
                                if step.expect("it fits") == Step::Complete {
                                    let whole = assembly.transaction().expect("complete");
                                    write(&mut ram, whole);
                                    assembly.reset();
                                    return black_box(reader);
                                }
                            }
                        }
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
