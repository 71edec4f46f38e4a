//! How a peer can break the protocol: a name and a counter for each way.

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Why a connection ended. Nothing in it comes from the peer, so it is safe to log and to count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// Every fault, in the order of the enum: `ALL[fault as usize] == fault`.
            pub const ALL: &'static [Fault] = &[$(Fault::$name),+];

            /// The counter's label, in `snake_case`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Fault::$name => $label,)+
                }
            }
        }
    };
}

faults! {
    /// The first bytes are no ZMTP signature (ZMTP 1.0 counts as such: it has none to tell it by).
    NotZmtp = "not_zmtp",
    /// The greeting's revision is one that never was.
    Revision = "revision",
    /// The mechanism is not NULL; `Handshake::peer_mechanism` has which.
    Mechanism = "mechanism",
    /// A frame in the handshake that is no command, or a command that is neither READY nor ERROR.
    HandshakeFrame = "handshake_frame",
    /// A handshake command announces more than `MAX_HANDSHAKE_COMMAND` bytes.
    HandshakeTooLarge = "handshake_too_large",
    /// READY's properties do not parse, or name Socket-Type or Identity twice.
    Ready = "ready",
    /// The socket type is missing or unknown.
    SocketType = "socket_type",
    /// The identity is longer than 255 bytes.
    Identity = "identity",
    /// The peer's socket type cannot talk to the one that we dialled as (RFC 37).
    Incompatible = "incompatible",
    /// The peer sent ERROR in place of READY.
    PeerError = "peer_error",
    /// A reserved flag is set, COMMAND in 2.0 framing, or COMMAND together with MORE.
    Flags = "flags",
    /// A frame announces more than `Limits::max_frame` bytes.
    FrameTooLarge = "frame_too_large",
    /// The parts of a message add up to more than `Limits::max_message` bytes.
    MessageTooLarge = "message_too_large",
    /// A message has more than `Limits::max_parts` parts.
    TooManyParts = "too_many_parts",
    /// A command or subscription announces more than `Limits::max_command` bytes.
    CommandTooLarge = "command_too_large",
    /// A command's body does not parse.
    Command = "command",
    /// A command other than PING and PONG between the parts of a message.
    Interleaved = "interleaved",
    /// A part of a subscriber's multipart message that libzmq's XPUB would take for a subscription.
    HiddenSubscription = "hidden_subscription",
    /// A node's encoded `Hello` does not parse.
    Hello = "hello",
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_place_and_a_label_of_its_own() {
        for (place, &fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(fault as usize, place);
            assert!(fault.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{fault}");
            assert_eq!(Fault::ALL.iter().filter(|other| other.name() == fault.name()).count(), 1, "{fault}");
        }
    }
}
