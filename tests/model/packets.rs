//! Random packets: most are what real hosts send, many are damaged, some are noise.

use crate::dice::Dice;

pub(crate) const PORTS: [u16; 7] = [0, 22, 53, 80, 443, 5000, 65535];
pub(crate) const V4: [[u8; 4]; 7] = [
    [10, 0, 0, 1],
    [10, 0, 0, 2],
    [10, 200, 3, 4],
    [192, 168, 1, 5],
    [224, 0, 0, 251],
    [255, 255, 255, 255],
    [0, 0, 0, 0],
];
pub(crate) const V6: [[u16; 8]; 5] = [
    [0xfd00, 0, 0, 0, 0, 0, 0, 1],
    [0xfd00, 0, 0, 0, 0, 0, 0, 2],
    [0xfd00, 0x1234, 0, 0, 0, 0, 0, 1],
    [0xff02, 0, 0, 0, 0, 1, 0xff00, 2],
    [0, 0, 0, 0, 0, 0, 0, 0],
];
pub(crate) const PROTOCOLS: [u8; 10] = [6, 6, 6, 17, 17, 1, 58, 132, 136, 47];

/// Any packet.
pub(crate) fn packet(dice: &mut Dice) -> Vec<u8> {
    let mut packet = match dice.below(20) {
        0 => return noise(dice),
        1..=11 => v4(dice),
        _ => v6(dice),
    };
    if dice.once_in(4) {
        for _ in 0..=dice.below(3) {
            damage(&mut packet, dice);
        }
    }
    packet
}

/// Bytes without a plan; some begin like an IP packet.
fn noise(dice: &mut Dice) -> Vec<u8> {
    let length = if dice.once_in(100) { 60_000 + dice.below(10_000) } else { dice.below(90) };
    let mut packet = dice.bytes(length);
    if let Some(first) = packet.first_mut().filter(|_| dice.once_in(2)) {
        *first = dice.pick(&[0x45, 0x46, 0x40, 0x4f, 0x60]);
    }
    packet
}

fn damage(packet: &mut Vec<u8>, dice: &mut Dice) {
    if packet.is_empty() {
        return;
    }
    let at = dice.below(packet.len());
    match dice.below(6) {
        0 => packet[at] = dice.byte(),
        1 => packet[at] ^= 1 << dice.below(8),
        2 => packet.insert(at, dice.byte()),
        3 => drop(packet.remove(at)),
        4 => packet.truncate(at),
        _ => packet.extend_from_within(at..),
    }
}

fn v4(dice: &mut Dice) -> Vec<u8> {
    let protocol = dice.pick(&PROTOCOLS);
    let words = if dice.once_in(4) { 5 + dice.below(11) } else { 5 };
    let mut packet = vec![0x40 | words as u8, dice.pick(&[0, 0, 0x20, 0xb8, 0xff]), 0, 0, 0, 7, 0, 0];
    if dice.once_in(6) {
        // A first fragment, or a later one.
        packet[6..8].copy_from_slice(&dice.pick(&[[0x20, 0], [0x20, 5], [0, 185]]));
    }
    packet.extend([64, protocol, 0, 0]);
    packet.extend(dice.pick(&V4));
    packet.extend(dice.pick(&V4));
    packet.extend(dice.bytes((words - 5) * 4));
    packet.extend(transport(protocol, dice));
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet
}

fn v6(dice: &mut Dice) -> Vec<u8> {
    let protocol = dice.pick(&PROTOCOLS);
    let (first, body) = extensions(protocol, dice);
    let class: u8 = dice.pick(&[0, 0, 0x20, 0xb8, 0xff]);
    let length = body.len() as u16;
    let mut packet = vec![0x60 | class >> 4, class << 4 | dice.byte() >> 4, dice.byte(), 7];
    packet.extend(length.to_be_bytes());
    packet.extend([first, 64]);
    for _ in 0..2 {
        packet.extend(dice.pick(&V6).iter().flat_map(|group| group.to_be_bytes()));
    }
    packet.extend(body);
    packet
}

/// Extension headers before the transport, and the number of the first.
fn extensions(protocol: u8, dice: &mut Dice) -> (u8, Vec<u8>) {
    let (mut next, mut body) = (protocol, transport(protocol, dice));
    while dice.once_in(3) {
        // A destination option, or what the walk stops at: fragment, ESP, AH, nothing more.
        let kind = dice.pick(&[0, 43, 60, 135, 0, 43, 60, 135, 44, 50, 51, 59]);
        let words = dice.pick(&[0, 0, 0, 1, 2]);
        let mut header = vec![next, words];
        header.extend(dice.bytes(6 + 8 * usize::from(words)));
        header.extend(body);
        (next, body) = (kind, header);
    }
    (next, body)
}

fn transport(protocol: u8, dice: &mut Dice) -> Vec<u8> {
    let ports = |dice: &mut Dice| {
        let (source, destination) = (dice.pick(&PORTS), dice.pick(&PORTS));
        [source.to_be_bytes(), destination.to_be_bytes()].concat()
    };
    let mut header = match protocol {
        6 => {
            let mut header = ports(dice);
            header.extend(dice.bytes(8));
            let flags = dice.pick(&[0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00, 0xff]);
            header.extend([0x50 | dice.pick(&[0, 0, 0, 1, 0xf]), flags, 0xff, 0xff, 0, 0, 0, 0]);
            header
        }
        17 | 132 | 136 => [ports(dice), dice.bytes(4)].concat(),
        1 | 58 => vec![dice.pick(&[0, 3, 8, 128, 129, 135]), dice.pick(&[0, 0, 1, 3]), 0, 0, 0, 1, 0, 1],
        _ => dice.bytes(8),
    };
    let payload = dice.below(20);
    header.extend(dice.bytes(payload));
    header
}
