//! The primitives that snow runs on: ours, because its own accept all-zero secrets, wipe nothing and compute every
//! public key and static-static secret again.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use super::Own;
use super::mask::{Mask, MaskedBlake2s};
use crate::crypto::{AeadKey, TAG_LEN};
use crate::keys::{KEY_LEN, PrivateKey, PublicKey, SharedSecret};

/// The static-static secrets that a handshake may need.
#[derive(Clone)]
pub(super) enum Known {
    /// Of the peer that we call.
    One(PublicKey, SharedSecret),
    /// Of everyone who may call us.
    Many(Arc<BTreeMap<PublicKey, SharedSecret>>),
}

impl Known {
    fn get(&self, peer: &PublicKey) -> Option<&SharedSecret> {
        match self {
            Self::One(one, shared) => (one == peer).then_some(shared),
            Self::Many(many) => many.get(peer),
        }
    }
}

/// Hands out the primitives of one handshake. snow asks for two `Dh`: the static one first, then the ephemeral.
pub(super) struct Resolver {
    own: Arc<Own>,
    known: Known,
    ephemeral: Zeroizing<[u8; KEY_LEN]>,
    mask: Arc<Mask>,
    static_given: AtomicBool,
}

impl Resolver {
    pub(super) fn new(
        own: Arc<Own>,
        known: Known,
        ephemeral: Zeroizing<[u8; KEY_LEN]>,
        mask: Arc<Mask>,
    ) -> Self {
        Self { own, known, ephemeral, mask, static_given: AtomicBool::new(false) }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(NoRandom))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        if !matches!(choice, DHChoice::Curve25519) {
            return None;
        }
        if self.static_given.swap(true, Ordering::Relaxed) {
            let private = PrivateKey::from_bytes(*self.ephemeral);
            return Some(Box::new(Ephemeral { private, public: None }));
        }
        Some(Box::new(Static {
            own: Arc::clone(&self.own),
            known: self.known.clone(),
            ephemeral_agreed: AtomicBool::new(false),
        }))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::Blake2s)
            .then(|| Box::new(MaskedBlake2s::new(Arc::clone(&self.mask))) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::ChaChaPoly).then(|| Box::new(ChaChaPoly(None)) as Box<dyn Cipher>)
    }
}

/// The private key was drawn before ([`Ephemeral`]): snow needs no randomness of its own.
struct NoRandom;

impl Random for NoRandom {
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Error> {
        Err(Error::Rng)
    }
}

const DH_NAME: &str = "25519";

/// Our static key.
struct Static {
    own: Arc<Own>,
    known: Known,
    /// A responder agrees twice: with their ephemeral key (`es`), then with their static one (`ss`).
    ephemeral_agreed: AtomicBool,
}

impl Dh for Static {
    fn name(&self) -> &'static str {
        DH_NAME
    }

    fn pub_len(&self) -> usize {
        KEY_LEN
    }

    fn priv_len(&self) -> usize {
        KEY_LEN
    }

    /// The key is there since construction; what snow passes is a placeholder.
    fn set(&mut self, _: &[u8]) {}

    fn generate(&mut self, _: &mut dyn Random) -> Result<(), Error> {
        Err(Error::Rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.own.public.as_bytes()
    }

    /// Not given away; snow asks only for keys that it generated itself.
    fn privkey(&self) -> &[u8] {
        &[]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let remote = public_key(pubkey)?;
        if let Some(shared) = self.known.get(&remote) {
            out[..KEY_LEN].copy_from_slice(shared.as_bytes());
            return Ok(());
        }
        let answering = matches!(self.known, Known::Many(_));
        if answering && self.ephemeral_agreed.swap(true, Ordering::Relaxed) {
            return Err(Error::Dh);
        }
        agree(&self.own.private, &remote, out)
    }
}

/// The key of this handshake only.
struct Ephemeral {
    private: PrivateKey,
    public: Option<PublicKey>,
}

impl Dh for Ephemeral {
    fn name(&self) -> &'static str {
        DH_NAME
    }

    fn pub_len(&self) -> usize {
        KEY_LEN
    }

    fn priv_len(&self) -> usize {
        KEY_LEN
    }

    fn set(&mut self, _: &[u8]) {}

    /// The private half was drawn already; a responder that does not answer never pays for the public one.
    fn generate(&mut self, _: &mut dyn Random) -> Result<(), Error> {
        self.public = Some(self.private.public());
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_ref().map_or(&[], |public| public.as_bytes())
    }

    fn privkey(&self) -> &[u8] {
        &[]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        agree(&self.private, &public_key(pubkey)?, out)
    }
}

/// snow's buffers for public keys are longer than a key.
fn public_key(bytes: &[u8]) -> Result<PublicKey, Error> {
    bytes.first_chunk().copied().map(PublicKey::from_bytes).ok_or(Error::Dh)
}

fn agree(private: &PrivateKey, remote: &PublicKey, out: &mut [u8]) -> Result<(), Error> {
    let shared = private.agree(remote).ok_or(Error::Dh)?;
    out[..KEY_LEN].copy_from_slice(shared.as_bytes());
    Ok(())
}

/// The packets' AEAD, in the shape that snow wants: from one buffer into another.
struct ChaChaPoly(Option<AeadKey>);

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; KEY_LEN]) {
        self.0 = Some(AeadKey::new(key));
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let key = self.0.as_ref().expect("snow sets a key before it encrypts");
        let out = &mut out[..plaintext.len() + TAG_LEN];
        out[..plaintext.len()].copy_from_slice(plaintext);
        key.seal(nonce, authtext, out);
        out.len()
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        // The longest sealed thing in the pattern is a public key.
        let mut buffer = Zeroizing::new([0; KEY_LEN + TAG_LEN]);
        let buffer = buffer.get_mut(..ciphertext.len()).ok_or(Error::Decrypt)?;
        buffer.copy_from_slice(ciphertext);
        let key = self.0.as_ref().ok_or(Error::Decrypt)?;
        let plaintext = key.open(nonce, authtext, buffer).map_err(|_| Error::Decrypt)?;
        out.get_mut(..plaintext.len()).ok_or(Error::Decrypt)?.copy_from_slice(plaintext);
        Ok(plaintext.len())
    }
}
