//! Why a datagram went no further: a name and a counter, never an error to anyone.

macro_rules! discards {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// A named reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Discard {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Discard {
            /// Every reason, in the order of [`Discard::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reason as a counter's label, in `snake_case`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

discards! {
    /// Shorter or longer than any message of its type, or of no known type.
    Malformed => "malformed",
    /// A handshake message whose first MAC was not made for our key: not meant for us, or noise.
    BadMac => "bad_mac",
    /// An initiation from a source that sends too many, without proof of its address: it was sent a cookie.
    CookieSent => "cookie_sent",
    /// An initiation beyond what one source or one peer may send.
    RateLimited => "rate_limited",
    /// Encrypted under another key, or altered on the way.
    NotAuthentic => "not_authentic",
    /// A handshake that would agree on an all-zero secret, or anything for a peer whose key is of low order.
    LowOrder => "low_order",
    /// An initiation by a key that is not one of our peers.
    UnknownPeer => "unknown_peer",
    /// An initiation that is not newer than the last one of this peer.
    StaleInitiation => "stale_initiation",
    /// For a session or a handshake that we do not have (any more).
    UnknownIndex => "unknown_index",
    /// A cookie reply to nothing that we sent.
    UnexpectedCookie => "unexpected_cookie",
    /// A packet that this session has already seen, or too old to tell.
    Replayed => "replayed",
    /// For a session that is past its time or its number of packets.
    Expired => "expired",
    /// An authentic payload that is neither an IP packet nor a frame of ours, or does not hold what its length says.
    UnknownPayload => "unknown_payload",
    /// Larger than any datagram can be.
    Oversized => "oversized",
    /// More than the machine can send at present.
    OutboxFull => "outbox_full",
    /// For a peer that is not (or no longer) there.
    NoSuchPeer => "no_such_peer",
    /// For a peer whose address nobody knows yet.
    NoEndpoint => "no_endpoint",
    /// A packet that waited for a session and made room for a newer one, or waited in vain.
    StagedTooLong => "staged_too_long",
    /// An IP packet, and this node has no TUN device.
    NoTun => "no_tun",
    /// A link frame that the broker's link did not want.
    LinkRefused => "link_refused",
    /// A copy or a detour of a packet that is none of the peer's who sent it, or that is our own.
    ForeignCopy => "foreign_copy",
    /// Neither an IPv4 nor an IPv6 packet, or not all of one.
    NotIp => "not_ip",
    /// From the TUN device, with a checksum or segments to be made that do not fit the packet.
    BadOffload => "bad_offload",
    /// Marked by a congested router on the way, for a transport that knows no such marks (RFC 6040).
    CongestedInVain => "congested_in_vain",
    /// An IP packet whose source address belongs to another peer, or to none.
    ForeignSource => "foreign_source",
    /// Before this device has a key.
    NoIdentity => "no_identity",
    /// While this device rests.
    Stopped => "stopped",
    /// For an address that no peer has.
    NoRoute => "no_route",
    /// Refused by the rules for packets.
    Denied => "denied",
    /// Would only pass through this host: its near end is no address that this node speaks for.
Transit => "transit",
    /// A TCP flow speaks what the rules do not let it speak; it is reset.
    WrongSpeech => "wrong_speech",
    /// A TCP segment that leaves a gap in a flow whose speech is not known yet: it is sent again.
    Gap => "gap",
    /// The tunnel's own datagram, come out of its own TUN device: the route to the peer leads into the tunnel.
    RoutingLoop => "routing_loop",
}

impl Discard {
    /// The place of this reason in [`Discard::ALL`], for an array of counters.
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn names_are_distinct_snake_case_and_indices_count_up() {
        let mut names = BTreeSet::new();
        for (at, reason) in Discard::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at, "{reason:?}");
            assert!(
                reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{reason:?}"
            );
            assert!(names.insert(reason.name()), "{reason:?}");
        }
    }
}
