//! How many ZMTP frames a second the scanner finds, judges and passes: on one core, out of 64 KiB reads.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_proto::zmtp::{
    Command, CommandVerdict, Judge, Limits, Scanned, Scanner, SocketType, Verdict, Version,
};

/// One read from an application's socket.
const CHUNK: usize = 64 * 1024;

/// Passes everything.
struct PassAll;

impl Judge for PassAll {
    fn message(&mut self, start: &[u8], size: u64, _: bool) -> Verdict {
        black_box((start, size));
        Verdict::Pass
    }

    fn command(&mut self, _: Command<'_>) -> CommandVerdict {
        CommandVerdict::Drop
    }
}

/// Passes every second message: the shortest runs there are.
#[derive(Default)]
struct Alternate {
    drops: bool,
}

impl Judge for Alternate {
    fn message(&mut self, _: &[u8], _: u64, _: bool) -> Verdict {
        self.drops = !self.drops;
        if self.drops { Verdict::Drop } else { Verdict::Pass }
    }

    fn command(&mut self, _: Command<'_>) -> CommandVerdict {
        CommandVerdict::Drop
    }
}

/// As many whole frames of `body` bytes as fit a chunk, and how many they are.
fn chunk(body: usize) -> (Bytes, u64) {
    let mut frame =
        if body < 256 { vec![0, body as u8] } else { [&[2][..], &(body as u64).to_be_bytes()].concat() };
    frame.extend_from_slice(b"temp.");
    frame.resize(frame.len() + body - 5, b'x');
    let count = CHUNK / frame.len();
    (frame.repeat(count).into(), count as u64)
}

fn scan(scanner: &mut Scanner, chunk: &Bytes, judge: &mut impl Judge) {
    let scanned = scanner.scan(chunk.clone(), judge, &mut |run| drop(black_box(run)));
    assert_eq!(scanned, Ok(Scanned::All));
}

fn frames(c: &mut Criterion) {
    for body in [64, 1024] {
        let (chunk, count) = chunk(body);
        let mut group = c.benchmark_group(format!("zmtp/{body}B"));
        group.throughput(Throughput::Elements(count));
        for (name, topic_peek) in [("pass", 0), ("pass, topic peek 32", 32)] {
            let limits = Limits { topic_peek, ..Limits::default() };
            let mut scanner = Scanner::new(Version::V3_1, SocketType::Pub, limits);
            group.bench_function(name, |b| {
                b.iter(|| scan(&mut scanner, &chunk, &mut PassAll));
            });
        }
        let mut scanner = Scanner::new(Version::V3_1, SocketType::Pub, Limits::default());
        let mut judge = Alternate::default();
        group.bench_function("drop every second", |b| {
            b.iter(|| scan(&mut scanner, &chunk, &mut judge));
        });
        let odd = chunk.slice(..chunk.len() - 1);
        let tail = chunk.slice(chunk.len() - 1..);
        let mut scanner = Scanner::new(Version::V3_1, SocketType::Sub, Limits::default());
        group.bench_function("pass, from a subscriber, cut reads", |b| {
            b.iter(|| {
                scan(&mut scanner, &odd, &mut PassAll);
                scan(&mut scanner, &tail, &mut PassAll);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, frames);
criterion_main!(benches);
