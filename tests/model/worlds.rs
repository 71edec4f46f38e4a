//! Who sends to whom, and what is sent.

use lockgate_proto::program::{
    Direction, EndSocket, Message, NodeTags, Packet, Parties, Recognised, Subject, Topic, packet_facts,
};
use lockgate_proto::zmtp::SocketType;

use crate::dice::Dice;
use crate::packets;
use crate::programs::{NODES, SOCKETS, TAGS, VALUES, WORDS};

/// Where something is judged, and between whom it goes.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) direction: Direction,
    pub(crate) own: &'static str,
    pub(crate) source: &'static str,
    pub(crate) destination: &'static str,
    pub(crate) source_tags: NodeTags,
    pub(crate) destination_tags: NodeTags,
    pub(crate) source_values: Vec<(u32, u32)>,
    pub(crate) destination_values: Vec<(u32, u32)>,
}

/// What is judged.
#[derive(Clone, Debug)]
pub(crate) enum Thing {
    Packet {
        bytes: Vec<u8>,
        random: u32,
        established: bool,
        spoken: Recognised,
    },
    Message {
        service: &'static str,
        socket: SocketType,
        identity: &'static [u8],
        mechanism: &'static str,
        topic: Topic<'static>,
        size: u64,
    },
}

impl World {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let direction = dice.pick(&[Direction::Out, Direction::In]);
        let (source, destination) = (dice.pick(&NODES), dice.pick(&NODES));
        // A node that only watches, or the one at this end.
        let own = match direction {
            _ if dice.once_in(4) => dice.pick(&NODES),
            Direction::Out => source,
            Direction::In => destination,
        };
        let source_tags = tags(dice);
        let source_values = values(dice);
        let is_same = source == destination;
        Self {
            direction,
            own,
            source,
            destination,
            destination_tags: if is_same { source_tags.clone() } else { tags(dice) },
            destination_values: if is_same { source_values.clone() } else { values(dice) },
            source_tags,
            source_values,
        }
    }

    pub(crate) fn parties(&self) -> Parties<'_> {
        Parties {
            direction: self.direction,
            own: self.own,
            source: self.source,
            destination: self.destination,
            source_tags: &self.source_tags,
            destination_tags: &self.destination_tags,
            source_values: &self.source_values,
            destination_values: &self.destination_values,
        }
    }

    /// Whether a rule that sends there has to send at all: the node is none of those who have the packet anyway.
    pub(crate) fn is_elsewhere(&self, node: &str) -> bool {
        ![self.source, self.own, self.destination].contains(&node)
    }
}

fn tags(dice: &mut Dice) -> NodeTags {
    ["x", "y"].map(|tag| (tag.to_owned(), dice.pick(&["1", "2"]).to_owned())).into()
}

/// Some of the tags, by rising number.
fn values(dice: &mut Dice) -> Vec<(u32, u32)> {
    let mut tags = TAGS[..3].to_vec();
    tags.retain(|_| !dice.once_in(4));
    tags.sort_unstable();
    tags.into_iter().map(|tag| (tag, dice.pick(&VALUES))).collect()
}

impl Thing {
    pub(crate) fn packet(dice: &mut Dice) -> Self {
        Self::Packet {
            bytes: packets::packet(dice),
            random: dice.pick(&[0, 1, 1 << 31, u32::MAX]),
            established: dice.once_in(2),
            spoken: spoken(dice),
        }
    }

    pub(crate) fn message(dice: &mut Dice) -> Self {
        let topic = dice.pick(&WORDS).as_bytes();
        Self::Message {
            service: dice.pick(&["telemetry", "command", "other"]),
            socket: dice.pick(&SOCKETS),
            identity: dice.pick(&WORDS).as_bytes(),
            mechanism: dice.pick(&["NULL", "CURVE"]),
            topic: if dice.once_in(2) { Topic::Is(topic) } else { Topic::BeginsWith(topic) },
            size: dice.below(110) as u64,
        }
    }

    /// As the engine takes it; a packet as ZeroTier judges it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        match self {
            Self::Packet { bytes, random, established, spoken } => Subject::Packet(Packet {
                random: *random,
                established: *established,
                spoken: *spoken,
                ..packet_facts(bytes)
            }),
            Self::Message { service, socket, identity, mechanism, topic, size } => {
                Subject::Message(Message {
                    service,
                    socket: *socket,
                    identity: Some(identity),
                    mechanism,
                    topic: *topic,
                    size: *size,
                })
            }
        }
    }
}

fn spoken(dice: &mut Dice) -> Recognised {
    match dice.below(4) {
        0 => Recognised::Undecided,
        1 => Recognised::Other,
        _ => {
            let mut mechanism = [0; 20];
            let name = dice.pick(&["NULL", "CURVE"]).as_bytes();
            mechanism[..name.len()].copy_from_slice(name);
            let mut socket =
                || if dice.once_in(3) { EndSocket::Pending } else { EndSocket::Is(dice.pick(&SOCKETS)) };
            Recognised::Zmtp { mechanism, sockets: [socket(), socket()] }
        }
    }
}
