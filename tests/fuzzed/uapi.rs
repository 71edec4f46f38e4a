//! Requests of `wg`: any bytes are read or refused, and the state that they lead to is written so that it is read again.

use lockgate::uapi::framing::{Frame, Framing};
use lockgate::uapi::{Change, Edit, Parsed, PeerReport, Presence, Report, Request, parse};

/// # Panics
/// Where an invariant does not hold.
pub fn fuzz_uapi(input: &[u8]) {
    framed_in_one_way(input);
    let Ok(Parsed { request: Request::Set(changes), flaw }) = parse(input) else { return };
    if let Some(flaw) = flaw {
        assert!(flaw.line >= 2, "the first line was read");
    }
    let state = applied(changes);
    let again = as_request(&state.to_text());
    let Ok(Parsed { request: Request::Set(changes), flaw: None }) = parse(again.as_bytes()) else {
        panic!("what we write is not read:\n{again}");
    };
    assert_eq!(facts(&applied(changes)), facts(&state), "what is read again is the same");
}

/// All that can be set.
fn facts(report: &Report) -> Vec<String> {
    let mut device = format!("{} {} ", report.listen_port, report.fwmark);
    report.private_key.iter().for_each(|key| key.push_hex(&mut device));
    let peers = report.peers.iter().map(|peer| {
        let mut fact = format!("{:?} {} {:?} ", peer.endpoint, peer.keepalive, peer.allowed_ips);
        peer.public_key.push_hex(&mut fact);
        peer.preshared_key.iter().for_each(|key| key.push_hex(&mut fact));
        fact
    });
    std::iter::once(device).chain(peers).collect()
}

/// However it arrives, a request ends in the same place.
fn framed_in_one_way(input: &[u8]) {
    let whole = Framing::default().look(input);
    let mut framing = Framing::default();
    for end in 1..input.len().min(2_000) {
        match framing.look(&input[..end]) {
            Frame::Partial => {}
            Frame::Whole(length) => {
                assert_eq!((whole, length), (Frame::Whole(length), end), "it ended before, and was not told");
                return;
            }
            broken @ Frame::Broken(_) => {
                assert_eq!(whole, broken);
                return;
            }
        }
    }
    if let Frame::Whole(length) = whole {
        assert!(length >= input.len().min(2_000), "an end that was not seen piece by piece");
        // Whole requests have an end, whatever else is wrong with them.
        assert!(parse(&input[..length]).is_ok() || input.starts_with(b"get=1\n"));
    }
}

/// The state after these changes of an empty device.
fn applied(changes: Vec<Change>) -> Report {
    let mut report = Report::default();
    for change in changes {
        match change {
            Change::PrivateKey(key) => report.private_key = key.map(|key| *key),
            Change::ListenPort(port) => report.listen_port = port,
            Change::Fwmark(mark) => report.fwmark = mark,
            Change::ReplacePeers => report.peers.clear(),
            Change::Peer(change) => {
                let place = report.peers.iter().position(|peer| peer.public_key == change.public_key);
                let place = match (place, change.presence) {
                    (Some(place), Presence::Removed) => {
                        report.peers.remove(place);
                        assert!(change.edits.is_empty(), "edits of who goes");
                        continue;
                    }
                    (None, Presence::Removed | Presence::UpdateOnly) => continue,
                    (Some(place), _) => place,
                    (None, Presence::Wanted) => {
                        report.peers.push(PeerReport::new(change.public_key));
                        report.peers.len() - 1
                    }
                };
                change.edits.into_iter().for_each(|edit| edit_peer(&mut report.peers, place, edit));
            }
        }
    }
    report
}

fn edit_peer(peers: &mut [PeerReport], place: usize, edit: Edit) {
    let peer = &mut peers[place];
    match edit {
        Edit::PresharedKey(key) => peer.preshared_key = key.map(|key| *key),
        Edit::Endpoint(endpoint) => peer.endpoint = Some(endpoint),
        Edit::Keepalive(seconds) => peer.keepalive = seconds,
        Edit::ReplaceAllowedIps => peer.allowed_ips.clear(),
        Edit::Disallow(range) => peer.allowed_ips.retain(|known| *known != range),
        Edit::Allow(range) => {
            peers.iter_mut().for_each(|peer| peer.allowed_ips.retain(|known| *known != range));
            peers[place].allowed_ips.push(range);
        }
    }
}

/// A report as the request that leads to it: without what nobody can set.
fn as_request(text: &str) -> String {
    let told = ["last_handshake_time", "tx_bytes", "rx_bytes", "errno"];
    let lines = text.lines().filter(|line| !line.is_empty() && !told.iter().any(|key| line.starts_with(key)));
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("set=1\n{lines}\n")
}
