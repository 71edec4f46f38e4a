//! A candidate with the time.

use std::time::{Duration, Instant};

use lockgate_proto::entropy::{Entropy, Randomness};
use lockgate_proto::keys::PrivateKey;
use lockgate_proto::now::Moment;
use lockgate_proto::policy::Policy;

use super::super::{Gate, Ingredients};
use super::*;

const NOW: Now =
    Now { instant: Moment::new(Duration::from_secs(100)), wall: Duration::from_secs(1_700_000_000) };

struct Sevens;

impl Entropy for Sevens {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn rules(granted: &str) -> Arc<Rules> {
    let text = format!("default = \"deny\"\n[nodes]\nalpha = {{}}\n{granted}");
    Arc::new(Rules::compile(&Policy::parse("p.toml", &text).unwrap(), 1))
}

#[expect(
    clippy::disallowed_methods,
    reason = "only a clock makes an Instant; which one it is does not matter"
)]
fn node() -> Node {
    let ingredients = Ingredients {
        name: "alpha".into(),
        identity: Some(PrivateKey::from_bytes([1; 32])),
        addresses: Vec::new(),
        gate: Gate::NoTun,
        randomness: Randomness { secret: Box::new(Sevens), public: Box::new(Sevens) },
        peers: Vec::new(),
        offers: Vec::new(),
        uses: Vec::new(),
        rules: rules(""),
        link_mtu: 1280,
        base: Instant::now(),
    };
    Node::new(ingredients, NOW).unwrap_or_else(|(name, error)| panic!("{name}: {error}"))
}

#[test]
fn the_clock_is_looked_at_for_a_candidate_that_changes_with_time() {
    let mut node = node();
    assert_eq!(node.poll_timeout(), None, "nothing else is to be done at any time");
    let granted = "[service.s]\nhosted-by = \"node=alpha\"\nsocket = \"rep\"\n\
                   [capability.visit]\nto = \"s\"\nmax-ttl = \"1h\"\n\
                   [[grant]]\ncapability = \"visit\"\nnode = \"alpha\"\n\
                   from = 2026-12-01T08:00:00Z\nuntil = 2026-12-01T09:00:00Z\n";
    node.stage(rules(granted), NOW);
    assert_eq!(node.poll_timeout(), Some(NOW.instant + Duration::from_millis(500)));
    node.abort(NOW);
    assert_eq!(node.poll_timeout(), None);
}
