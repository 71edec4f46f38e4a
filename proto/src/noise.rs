//! The handshake: `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` with WireGuard's prologue, driven by snow.
//!
//! Each side is a type: an [`Initiator`] exists only after the first message was written, a [`Responder`] only after one was
//! read, and both end as [`SessionKeys`]. snow's own primitives are not used: `noise/resolver.rs` gives it ours, which refuse
//! all-zero secrets, wipe keys, and know the static-static secret of each peer beforehand. snow wipes nothing that it drops;
//! so the chaining key, the preshared key and the split keys, each of which opens the session, reach it only masked
//! (`noise/mask.rs`), and the mask is wiped. What passes over its stack in clear are agreed secrets and the keys of the
//! handshake's own payloads.

mod mask;
mod resolver;
pub mod tai64n;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use self::mask::Mask;
use self::resolver::{Known, Resolver};
use self::tai64n::Tai64n;
use crate::crypto::AeadKey;
use crate::discard::Discard;
use crate::entropy::Entropy;
use crate::keys::{KEY_LEN, PresharedKey, PrivateKey, PublicKey, SharedSecret};
use crate::wire::{NOISE_INITIATION_LEN, NOISE_RESPONSE_LEN};

const PROTOCOL: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// Where the preshared key stands in the pattern: `psk2`.
const PSK_LOCATION: usize = 2;

/// Our static keys, with what is worth computing once: the public key, and the static-static secret of each peer.
pub struct Identity {
    own: Arc<Own>,
    peers: Arc<BTreeMap<PublicKey, SharedSecret>>,
    params: NoiseParams,
}

/// A static key pair.
struct Own {
    private: PrivateKey,
    public: PublicKey,
}

/// This peer key agrees with ours on an all-zero secret: it is of low order and nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowOrderKey;

impl Identity {
    /// The identity of this private key, with no peers.
    pub fn new(private: PrivateKey) -> Self {
        let public = private.public();
        Self {
            own: Arc::new(Own { private, public }),
            peers: Arc::default(),
            params: PROTOCOL.parse().expect("the protocol's name is one that snow knows"),
        }
    }

    /// Our public key.
    pub fn public(&self) -> PublicKey {
        self.own.public
    }

    /// Our private key; dropping it wipes it.
    pub fn private(&self) -> PrivateKey {
        self.own.private.clone()
    }

    /// Whether `peer` is somebody.
    pub fn knows(&self, peer: &PublicKey) -> bool {
        self.peers.contains_key(peer)
    }

    /// Makes `peer` somebody whose initiations are read.
    ///
    /// # Errors
    /// [`LowOrderKey`].
    pub fn know(&mut self, peer: PublicKey) -> Result<(), LowOrderKey> {
        let shared = self.own.private.agree(&peer).ok_or(LowOrderKey)?;
        // No handshake holds the map between calls (a responder answers within one), so this does not clone it.
        Arc::make_mut(&mut self.peers).insert(peer, shared);
        Ok(())
    }

    /// Makes `peer` a stranger again.
    pub fn forget(&mut self, peer: &PublicKey) {
        Arc::make_mut(&mut self.peers).remove(peer);
    }

    fn state(
        &self,
        known: Known,
        ephemeral: Zeroizing<[u8; KEY_LEN]>,
        mask: &Arc<Mask>,
        remote: Option<&PublicKey>,
    ) -> HandshakeState {
        let resolver = Resolver::new(Arc::clone(&self.own), known, ephemeral, Arc::clone(mask));
        // The static key is inside the resolver already; snow only insists that one is set.
        let builder = Builder::with_resolver(self.params.clone(), Box::new(resolver))
            .local_private_key(&[0; KEY_LEN])
            .and_then(|builder| builder.prologue(PROLOGUE))
            .expect("each is set once");
        let state = match remote {
            Some(remote) => builder.remote_public_key(remote.as_bytes()).expect("set once").build_initiator(),
            None => builder.build_responder(),
        };
        state.expect("the resolver has every primitive of the protocol")
    }
}

/// The keys of a session, one for each direction.
pub struct SessionKeys {
    /// For what we send.
    pub send: AeadKey,
    /// For what we receive.
    pub receive: AeadKey,
}

/// A first message was sent; its answer is awaited.
pub struct Initiator {
    state: HandshakeState,
    mask: Arc<Mask>,
}

impl Initiator {
    /// Writes the first message to `remote`, whom `identity` must know.
    ///
    /// # Errors
    /// [`Discard::NoSuchPeer`] where it does not.
    pub fn begin(
        identity: &Identity,
        remote: &PublicKey,
        timestamp: Tai64n,
        secret: &mut dyn Entropy,
        message: &mut [u8; NOISE_INITIATION_LEN],
    ) -> Result<Self, Discard> {
        let shared = identity.peers.get(remote).ok_or(Discard::NoSuchPeer)?.clone();
        let (ephemeral, mask) = (drawn(secret), Mask::draw(secret));
        let mut state = identity.state(Known::One(*remote, shared), ephemeral, &mask, Some(remote));
        state.write_message(&timestamp.to_bytes(), message).map_err(|_| Discard::LowOrder)?;
        Ok(Self { state, mask })
    }

    /// Reads the second message. A forged one leaves this as it was: the real one may still come. Drop it after success.
    ///
    /// # Errors
    /// [`Discard::NotAuthentic`] or [`Discard::LowOrder`].
    pub fn finish(
        &mut self,
        preshared: &PresharedKey,
        message: &[u8; NOISE_RESPONSE_LEN],
    ) -> Result<SessionKeys, Discard> {
        set_preshared(&mut self.state, &self.mask, preshared);
        self.state.read_message(message, &mut []).map_err(reason)?;
        let (to_responder, to_initiator) = split(&mut self.state, &self.mask);
        Ok(SessionKeys { send: to_responder, receive: to_initiator })
    }
}

/// A first message was read; it was by one of our peers.
pub struct Responder {
    state: HandshakeState,
    mask: Arc<Mask>,
    remote: PublicKey,
    timestamp: Tai64n,
}

impl Responder {
    /// Reads a first message.
    ///
    /// # Errors
    /// [`Discard::UnknownPeer`], [`Discard::NotAuthentic`] or [`Discard::LowOrder`].
    pub fn read(
        identity: &Identity,
        secret: &mut dyn Entropy,
        message: &[u8; NOISE_INITIATION_LEN],
    ) -> Result<Self, Discard> {
        let (ephemeral, mask) = (drawn(secret), Mask::draw(secret));
        let mut state = identity.state(Known::Many(Arc::clone(&identity.peers)), ephemeral, &mask, None);
        let mut payload = [0; Tai64n::LEN];
        match state.read_message(message, &mut payload) {
            Ok(Tai64n::LEN) => {}
            Ok(_) => return Err(Discard::NotAuthentic),
            Err(snow::Error::Dh) => return Err(stranger_or_low_order(&state, identity)),
            Err(error) => return Err(reason(error)),
        }
        let remote = remote(&state).ok_or(Discard::NotAuthentic)?;
        Ok(Self { state, mask, remote, timestamp: Tai64n::from_bytes(payload) })
    }

    /// Who sent it: proven by the handshake.
    pub fn remote(&self) -> PublicKey {
        self.remote
    }

    /// When they say they sent it; it must be later than their last.
    pub fn timestamp(&self) -> Tai64n {
        self.timestamp
    }

    /// Writes the second message; the session exists for us, but the initiator must prove that it exists for them.
    ///
    /// # Errors
    /// [`Discard::LowOrder`] where their ephemeral key is nobody's.
    pub fn respond(
        mut self,
        preshared: &PresharedKey,
        message: &mut [u8; NOISE_RESPONSE_LEN],
    ) -> Result<SessionKeys, Discard> {
        set_preshared(&mut self.state, &self.mask, preshared);
        self.state.write_message(&[], message).map_err(|_| Discard::LowOrder)?;
        let (to_responder, to_initiator) = split(&mut self.state, &self.mask);
        Ok(SessionKeys { send: to_initiator, receive: to_responder })
    }
}

fn drawn(secret: &mut dyn Entropy) -> Zeroizing<[u8; KEY_LEN]> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    secret.fill(&mut *bytes);
    bytes
}

fn remote(state: &HandshakeState) -> Option<PublicKey> {
    state.get_remote_static()?.try_into().ok().map(PublicKey::from_bytes)
}

/// The static-static agreement fails for keys that we do not know, before any arithmetic is spent on them.
fn stranger_or_low_order(state: &HandshakeState, identity: &Identity) -> Discard {
    match remote(state) {
        Some(remote) if !identity.peers.contains_key(&remote) => Discard::UnknownPeer,
        _ => Discard::LowOrder,
    }
}

fn reason(error: snow::Error) -> Discard {
    match error {
        snow::Error::Dh => Discard::LowOrder,
        _ => Discard::NotAuthentic,
    }
}

/// The split keys: initiator to responder, responder to initiator.
fn split(state: &mut HandshakeState, mask: &Mask) -> (AeadKey, AeadKey) {
    let (one, other) = state.dangerously_get_raw_split();
    let key = |masked, with| AeadKey::new(&mask.applied(with, masked));
    (key(&one, mask::TO_RESPONDER), key(&other, mask::TO_INITIATOR))
}

fn set_preshared(state: &mut HandshakeState, mask: &Mask, preshared: &PresharedKey) {
    let masked = mask.applied(mask::PRESHARED, preshared.as_bytes());
    state.set_psk(PSK_LOCATION, &*masked).expect("the key has 32 bytes, the place exists");
}

#[cfg(test)]
mod tests;
