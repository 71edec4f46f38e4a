//! The socket types of ZeroMQ and which of them talk to each other (RFC 23, RFC 37).

/// A type of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketType {
    /// Exclusive pair.
    Pair,
    /// Publisher.
    Pub,
    /// Subscriber.
    Sub,
    /// Asks.
    Req,
    /// Answers.
    Rep,
    /// Asks without waiting.
    Dealer,
    /// Answers by identity.
    Router,
    /// Takes work.
    Pull,
    /// Hands out work.
    Push,
    /// Publisher that sees subscriptions.
    Xpub,
    /// Subscriber that forwards subscriptions.
    Xsub,
}

impl SocketType {
    /// Every type.
    pub const ALL: [Self; 11] = [
        Self::Pair,
        Self::Pub,
        Self::Sub,
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pull,
        Self::Push,
        Self::Xpub,
        Self::Xsub,
    ];

    /// The name in a handshake (RFC 37): upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pair => "PAIR",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pull => "PULL",
            Self::Push => "PUSH",
            Self::Xpub => "XPUB",
            Self::Xsub => "XSUB",
        }
    }

    /// The type of that name, upper case as on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|socket| socket.name() == name)
    }

    /// Whether the two may talk (RFC 37, "the Socket-Type property").
    pub const fn matches(self, other: Self) -> bool {
        use SocketType as S;
        matches!(
            (self, other),
            (S::Pair, S::Pair)
                | (S::Pub | S::Xpub, S::Sub | S::Xsub)
                | (S::Sub | S::Xsub, S::Pub | S::Xpub)
                | (S::Req, S::Rep | S::Router)
                | (S::Rep, S::Req | S::Dealer)
                | (S::Dealer, S::Rep | S::Dealer | S::Router)
                | (S::Router, S::Req | S::Dealer | S::Router)
                | (S::Pull, S::Push)
                | (S::Push, S::Pull)
        )
    }

    /// Whether it publishes (PUB, XPUB).
    pub const fn is_publisher(self) -> bool {
        matches!(self, Self::Pub | Self::Xpub)
    }

    /// Whether it subscribes (SUB, XSUB).
    pub const fn is_subscriber(self) -> bool {
        matches!(self, Self::Sub | Self::Xsub)
    }
}
