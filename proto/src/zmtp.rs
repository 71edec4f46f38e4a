//! ZMTP as local applications speak it: 3.1 (RFC 37), 3.0 (RFC 23) and 2.0 (RFC 15), without IO.
//!
//! A [`Handshake`] learns who an application is and answers it; afterwards one [`Scanner`] for each direction finds
//! the frames in what was read, asks a [`Judge`], and passes whole runs of accepted bytes on. Nothing here keeps time:
//! [`GREETING_STEP`] and [`HANDSHAKE_TOTAL`] are for whoever holds the clock.
use core::time::Duration;

mod command;
mod fault;
mod frame;
mod handshake;
mod hello;
mod recognise;
mod scanner;
mod socket;

pub use command::{Command, encode_cancel, encode_error, encode_ping, encode_pong, encode_subscribe};
pub use fault::Fault;
pub use handshake::{Handshake, Progress};
pub use hello::Hello;
pub use recognise::{End, EndSocket, Fit, Recognised, Recogniser, Segment};
pub use scanner::{CommandVerdict, Counts, Judge, Limits, PartVerdict, Scanned, Scanner, Verdict};
pub use socket::SocketType;

/// How long a peer may take for each step of its greeting.
pub const GREETING_STEP: Duration = Duration::from_secs(2);
/// How long a peer may take from its connection to its READY.
pub const HANDSHAKE_TOTAL: Duration = Duration::from_secs(10);
/// The longest command that is taken during a handshake, in bytes of its body (libzmq's READY is below 600).
pub const MAX_HANDSHAKE_COMMAND: usize = 64 * 1024;

/// Which ZMTP a connection speaks: the older of the two sides' versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 15: no mechanism, no commands; libzmq 3.2.
    V2_0,
    /// RFC 23: commands in the handshake; subscriptions are messages.
    V3_0,
    /// RFC 37: SUBSCRIBE, CANCEL, PING and PONG are commands.
    V3_1,
}

impl Version {
    /// Whether the framing knows command frames at all (flag bit 2).
    #[must_use]
    pub const fn has_commands(self) -> bool {
        !matches!(self, Version::V2_0)
    }

    /// As the RFCs write it: `2.0`, `3.0`, `3.1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Version::V2_0 => "2.0",
            Version::V3_0 => "3.0",
            Version::V3_1 => "3.1",
        }
    }
}

/// The security mechanism that a 3.x greeting names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// No security: what we speak with applications on this host.
    Null,
    /// User name and password in clear (RFC 24).
    Plain,
    /// CurveZMQ (RFC 26): everything but sizes is hidden from us.
    Curve,
    /// A name that we do not know.
    Other,
}

impl Mechanism {
    /// As the greeting writes it; `other` where it is none of the known ones.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Null => "NULL",
            Mechanism::Plain => "PLAIN",
            Mechanism::Curve => "CURVE",
            Mechanism::Other => "other",
        }
    }

    /// From the greeting's 20 bytes, NUL padded.
    fn from_greeting(field: &[u8]) -> Mechanism {
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
        let (name, padding) = field.split_at(end);
        if padding.iter().any(|&byte| byte != 0) {
            return Mechanism::Other;
        }
        match name {
            b"NULL" => Mechanism::Null,
            b"PLAIN" => Mechanism::Plain,
            b"CURVE" => Mechanism::Curve,
            _ => Mechanism::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_is_its_whole_field() {
        let padded = |name: &[u8]| {
            let mut field = [0; 20];
            field[..name.len()].copy_from_slice(name);
            field
        };
        for (name, mechanism) in [
            (&b"NULL"[..], Mechanism::Null),
            (b"PLAIN", Mechanism::Plain),
            (b"CURVE", Mechanism::Curve),
            (b"GSSAPI", Mechanism::Other),
            (b"null", Mechanism::Other),
            (b"NULL\0x", Mechanism::Other),
            (b"", Mechanism::Other),
            (b"NULLNULLNULLNULLNULL", Mechanism::Other),
        ] {
            assert_eq!(Mechanism::from_greeting(&padded(name)), mechanism, "{name:?}");
        }
    }
}
