//! From a captured epoch to the bytes that travel: `Begin` to `Commit`, without the socket.

mod common;

use std::hint::black_box;

use common::{Capture, Contents};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::wire::{Base, Direction, Opening, Outgoing, page_hash};

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for pages in [64, 2500] {
        for contents in Contents::ALL {
            let capture = Capture::new(pages, contents);
            let hashes: Vec<u64> = (capture.bases.as_chunks::<PAGE_BYTES>().0.iter())
                .map(page_hash)
                .collect();
            let base = |number: u64| {
                let bytes = capture.base(number);
                let index =
                    (bytes.as_ptr() as usize - capture.bases.as_ptr() as usize) / PAGE_BYTES;
                let hash = hashes[index];
                matches!(contents, Contents::Changed).then_some(Base { bytes, hash })
            };
            let mut direction = Direction::new();
            let mut outgoing = Outgoing::new();
            let mut epoch = 0;
            group.throughput(Throughput::Bytes((pages * PAGE_BYTES) as u64));
            group.bench_function(BenchmarkId::new(contents.name(), pages), |bencher| {
                bencher.iter(|| {
                    epoch += 1;
                    outgoing.clear();
                    let mut encoder = direction.encoder(&mut outgoing);
                    encoder.begin(1, epoch, &Opening::default());
                    encoder.pages(&capture.body, &capture.runs, base);
                    encoder.device_state(&capture.body, capture.device_state.clone(), None);
                    encoder.outputs([[0x55; 100].as_slice()]);
                    encoder.commit();
                    black_box(outgoing.pending_bytes())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
