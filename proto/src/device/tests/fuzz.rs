//! Arbitrary and mutated datagrams: never a panic, never an answer to a stranger, never a change that matters.

use super::*;

#[test]
fn arbitrary_bytes_are_never_answered() {
    let mut room = Room::connected();
    let mut chance = Seeded(1);
    for round in 0..20_000 {
        let len = match chance.below(8) {
            0 => 148,
            1 => 92,
            2 => 64,
            3 => 32 + chance.below(3) * 16,
            _ => chance.below(200),
        };
        let mut datagram = vec![0; len];
        chance.fill(&mut datagram);
        if chance.below(2) == 0 && len >= 4 {
            datagram[..4].copy_from_slice(&(chance.below(5) as u32).to_le_bytes());
        }
        let from = SocketAddr::from(([203, 0, 113, chance.below(256) as u8], chance.below(65_536) as u16));
        assert!(room.give(1, from, &datagram).is_err(), "round {round}");
        assert!(room.take(1).is_empty(), "round {round}: a stranger was answered");
    }
    assert_eq!(room.status(1).endpoint, Some(address(0)));
    room.assert_talks();
}

#[test]
fn mutated_datagrams_are_never_answered_and_break_nothing() {
    for seed in 0..5 {
        let mut chance = Seeded(seed);
        let mut room = Room::connected();
        let stranger: SocketAddr = "203.0.113.5:5".parse().unwrap();
        for step in 0..150 {
            match chance.below(4) {
                0 => drop(room.link(0, &vec![7; chance.below(300)])),
                1 => drop(room.link(1, &vec![7; chance.below(300)])),
                2 => room.begin(chance.below(2)),
                _ => room.sleep(Duration::from_millis(chance.below(30_000) as u64)),
            }
            for (host, other) in [(0, 1), (1, 0)] {
                for datagram in room.take(host) {
                    for _ in 0..4 {
                        let mutated = mutate(&datagram, &mut chance);
                        if mutated == datagram {
                            continue;
                        }
                        let before = room.hosts[other].out.0.len();
                        let outcome = room.give(other, stranger, &mutated);
                        assert!(outcome.is_err(), "seed {seed} step {step}: {outcome:?}");
                        assert_eq!(
                            room.hosts[other].out.0.len(),
                            before,
                            "seed {seed} step {step}: a stranger was answered"
                        );
                    }
                    let _ = room.give(other, address(host), &datagram);
                }
            }
            assert!((0..2).all(|host| room.status(host).endpoint == Some(address(1 - host))));
        }
        room.pass(secs(400));
        room.assert_talks();
    }
}

/// One byte changed, or cut, or longer. The last MAC of a handshake message counts only under load, so it is left alone.
fn mutate(datagram: &[u8], chance: &mut Seeded) -> Vec<u8> {
    let mut mutated = datagram.to_vec();
    let counted = if matches!(datagram.len(), 148 | 92) { datagram.len() - 16 } else { datagram.len() };
    match chance.below(4) {
        0 => mutated.truncate(chance.below(datagram.len())),
        1 => mutated.extend(vec![0; 1 + chance.below(40)]),
        _ => mutated[chance.below(counted)] ^= 1 << chance.below(8),
    }
    mutated
}

#[test]
fn an_insider_with_garbage_breaks_nothing() {
    let mut room = Room::connected();
    room.allow_all();
    let mut chance = Seeded(3);
    for round in 0..3_000 {
        let mut payload = vec![0; chance.below(120)];
        chance.fill(&mut payload);
        if let Some(first) = payload.first_mut().filter(|_| chance.below(2) == 0) {
            *first = [0x10, 0x11, 0x45, 0x60][chance.below(4)];
        }
        room.ip(0, &payload).unwrap();
        let datagram = room.take(0).remove(0);
        match room.give(1, address(0), &datagram) {
            Ok(Some(content)) => assert!(content.len() <= datagram.len() - 32, "round {round}"),
            Ok(None) => assert!(payload.is_empty(), "round {round}"),
            Err(discard) => assert_eq!(discard, Discard::UnknownPayload, "round {round}"),
        }
        assert!(room.take(1).is_empty(), "round {round}");
    }
    room.assert_talks();
}
