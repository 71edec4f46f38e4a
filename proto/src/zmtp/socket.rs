//! The stable socket types and which of them may talk to each other (RFC 37, "Socket Type Combinations").

use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, Xpub, Xsub};

/// A ZeroMQ socket type. The discriminant is libzmq's, which ZMTP 2.0 sends as a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SocketType {
    /// Exclusive pair.
    Pair = 0,
    /// Publisher.
    Pub = 1,
    /// Subscriber.
    Sub = 2,
    /// Requester in lock-step.
    Req = 3,
    /// Replier in lock-step.
    Rep = 4,
    /// Asynchronous requester.
    Dealer = 5,
    /// Asynchronous replier, addresses by identity.
    Router = 6,
    /// Pipeline's receiving end.
    Pull = 7,
    /// Pipeline's sending end.
    Push = 8,
    /// Publisher that reads subscriptions.
    Xpub = 9,
    /// Subscriber that writes subscriptions.
    Xsub = 10,
}

impl SocketType {
    /// Every type, by its 2.0 code.
    pub const ALL: [SocketType; 11] = [Pair, Pub, Sub, Req, Rep, Dealer, Router, Pull, Push, Xpub, Xsub];

    /// As READY's Socket-Type property writes it: `PUB`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Pair => "PAIR",
            Pub => "PUB",
            Sub => "SUB",
            Req => "REQ",
            Rep => "REP",
            Dealer => "DEALER",
            Router => "ROUTER",
            Pull => "PULL",
            Push => "PUSH",
            Xpub => "XPUB",
            Xsub => "XSUB",
        }
    }

    /// The type of exactly this name, upper case as in the RFC.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<SocketType> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// The byte in a 2.0 greeting (RFC 15; 9 and 10 as libzmq 3.2 sends them).
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type of a 2.0 greeting's byte.
    #[must_use]
    pub fn from_code(code: u8) -> Option<SocketType> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The types that may be at the other end; the first is the one that keeps most of what this type can do.
    #[must_use]
    pub const fn counterparts(self) -> &'static [SocketType] {
        match self {
            Pair => &[Pair],
            Pub => &[Sub, Xsub],
            Sub => &[Pub, Xpub],
            Req => &[Rep, Router],
            Rep => &[Req, Dealer],
            Dealer => &[Router, Dealer, Rep],
            Router => &[Dealer, Router, Req],
            Pull => &[Push],
            Push => &[Pull],
            Xpub => &[Xsub, Sub],
            Xsub => &[Xpub, Pub],
        }
    }

    /// Whether the two may be at the ends of one connection.
    #[must_use]
    pub fn matches(self, other: SocketType) -> bool {
        self.counterparts().contains(&other)
    }

    /// Whether it sends subscriptions.
    #[must_use]
    pub const fn is_subscriber(self) -> bool {
        matches!(self, Sub | Xsub)
    }

    /// Whether it takes subscriptions.
    #[must_use]
    pub const fn is_publisher(self) -> bool {
        matches!(self, Pub | Xpub)
    }

    /// Whether libzmq announces an identity for it.
    pub(super) const fn has_identity(self) -> bool {
        matches!(self, Req | Dealer | Router)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_lead_back_to_the_type() {
        for kind in SocketType::ALL {
            assert_eq!(SocketType::from_name(kind.name().as_bytes()), Some(kind));
            assert_eq!(SocketType::from_code(kind.code()), Some(kind));
        }
        for unknown in [&b"pub"[..], b"", b"PUBS", b"PU", b"STREAM", b"CLIENT", b"PUB\0"] {
            assert_eq!(SocketType::from_name(unknown), None, "{unknown:?}");
        }
        assert_eq!(SocketType::from_code(11), None);
    }

    #[test]
    fn the_combinations_are_those_of_the_rfc_both_ways() {
        let valid = [
            (Pair, Pair),
            (Pub, Sub),
            (Pub, Xsub),
            (Xpub, Sub),
            (Xpub, Xsub),
            (Req, Rep),
            (Req, Router),
            (Rep, Dealer),
            (Dealer, Dealer),
            (Dealer, Router),
            (Router, Router),
            (Push, Pull),
        ];
        for a in SocketType::ALL {
            for b in SocketType::ALL {
                let expected = valid.contains(&(a, b)) || valid.contains(&(b, a));
                assert_eq!(a.matches(b), expected, "{} with {}", a.name(), b.name());
            }
        }
    }

    #[test]
    fn the_natural_counterpart_is_mutual() {
        for kind in SocketType::ALL {
            let natural = kind.counterparts()[0];
            assert_eq!(natural.counterparts()[0], kind, "{}", kind.name());
        }
    }
}
