//! Segmentation and coalescing against the kernel's own, byte for byte.
//!
//! ```text
//!            entry                            exit
//!            ┌───────────────────────┐        ┌───────────────────────────┐
//!  write ──▶ │ TUN A ── routes ── wire ══ veth ══ wire ── routes ── TUN B │ ──▶ read
//!            │ all offloads          │        │    segments in software   │
//!            └───────────────────────┘        └───────────────────────────┘
//!  super-packet         ──▶ kernel ──▶ segments  ═ `Segments` of the same super-packet
//!  packets ──▶ Coalescer ──▶ kernel ──▶ packets  ═ the same packets
//! ```

mod engine;
mod kernel;
mod packets;
mod random;
mod supers;
mod traffic;

use lockgate_tests::network::Lab;

use kernel::Kernel;
use packets::hops_later;
use random::Random;

const SUPERS: usize = 4000;
const BATCHES: usize = 1000;

#[test]
fn segments_are_the_kernels_byte_for_byte() {
    let seed = random::seed("segments");
    let Some(_lab) = Lab::open(&[]) else { return };
    let mut kernel = Kernel::new();
    let mut random = Random::new(seed);
    let mut segments = 0;
    for round in 0..SUPERS {
        let item = supers::random(&mut random);
        let ours = engine::segments(&item.vnet, &hops_later(&item.packet));
        kernel.write(&[&item.vnet[..], &item.packet].concat());
        let theirs = kernel.read(ours.len());
        segments += theirs.len();
        assert_eq!(ours.len(), theirs.len(), "round {round}: number of segments of {item}");
        for (at, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_same(ours, theirs, &format!("round {round}: segment {at} of {item}"));
        }
    }
    eprintln!("{SUPERS} super-packets, {segments} segments");
}

#[test]
fn what_was_coalesced_comes_out_of_the_kernel_as_it_went_in() {
    let seed = random::seed("coalescing");
    let Some(_lab) = Lab::open(&[]) else { return };
    let mut kernel = Kernel::new();
    let mut random = Random::new(seed);
    let mut traffic = traffic::Traffic::new(&mut random);
    let (mut pushed, mut items) = (0, 0);
    for round in 0..BATCHES {
        let batch = traffic.batch(&mut random);
        let made = engine::coalesce(batch.iter().map(|packet| &packet.bytes[..]));
        pushed += batch.len();
        items += made.len();
        for item in &made {
            kernel.write(item);
        }
        let arrived = kernel.read(batch.iter().filter(|packet| packet.passes).count());
        traffic::assert_flows_equal(&batch, &arrived, round);
    }
    assert!(items * 2 < pushed, "{pushed} packets became {items} items: nothing was coalesced");
    eprintln!("{pushed} packets in {items} items");
}

/// Equal, but for the two ways to write a TCP checksum of nought, which only differ in who wrote it.
fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    if packets::without_zero(ours) == packets::without_zero(theirs) {
        return;
    }
    let at = ours.iter().zip(theirs).position(|(left, right)| left != right);
    panic!(
        "{what}: lengths {} and {} (kernel), first difference at {at:?}\n  ours   {:02x?}\n  kernel {:02x?}",
        ours.len(),
        theirs.len(),
        &ours[..ours.len().min(120)],
        &theirs[..theirs.len().min(120)]
    );
}
