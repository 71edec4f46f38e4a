//! The sessions of one peer: the current one, the one before it, and one that the other side has not yet used.

use crate::now::{Moment, Now};
use crate::peer::session::{Role, Session};

/// At most three sessions.
#[derive(Default)]
pub struct Keyring {
    /// Still opens what was on its way during a rekey.
    previous: Option<Session>,
    /// What we send with.
    current: Option<Session>,
    /// We answered an initiation; until data arrives we cannot know that the answer did, and must not send with it.
    next: Option<Session>,
    /// What sessions that are no more had lost.
    lost: u64,
}

/// The local indices of sessions that are no more.
pub type Retired = [Option<u32>; 3];

/// What the first packet on a session told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing new.
    None,
    /// The other side has our answer: the session is now the current one. Carries the index of the session that left.
    Confirmed(Option<u32>),
}

impl Keyring {
    /// Adds a session: an initiator's is confirmed by the answer and becomes current, a responder's waits.
    pub fn add(&mut self, session: Session) -> Retired {
        match session.role {
            Role::Initiator => self.add_confirmed(session),
            Role::Responder => {
                let retired = [self.next.replace(session), self.previous.take(), None];
                retired.map(|session| self.retire(session))
            }
        }
    }

    /// Adds a confirmed session and lets the one that waits wait on: it takes over once the other side uses it.
    pub fn add_beside_next(&mut self, session: Session) -> Retired {
        let current = self.current.replace(session);
        let gone = core::mem::replace(&mut self.previous, current);
        [self.retire(gone), None, None]
    }

    /// The index of a session that is no more; what it lost is remembered.
    fn retire(&mut self, session: Option<Session>) -> Option<u32> {
        let session = session?;
        self.lost = self.lost.saturating_add(session.missing());
        Some(session.local)
    }

    /// How many packets of the other side have not arrived so far, on all sessions there ever were.
    pub fn lost(&self) -> u64 {
        let sessions = [&self.previous, &self.current, &self.next];
        sessions.into_iter().flatten().fold(self.lost, |sum, session| sum.saturating_add(session.missing()))
    }

    /// Whether a session waits that was made at `since` or later.
    pub fn waits_since(&self, since: Moment) -> bool {
        self.next.as_ref().is_some_and(|next| next.born >= since)
    }

    fn add_confirmed(&mut self, session: Session) -> Retired {
        let gone = match self.next.take() {
            Some(next) => [self.previous.replace(next), self.current.replace(session)],
            None => {
                let current = self.current.replace(session);
                [core::mem::replace(&mut self.previous, current), None]
            }
        };
        let [one, two] = gone.map(|session| self.retire(session));
        [one, two, None]
    }

    /// Tells that an authentic packet arrived on the session `local`.
    pub fn confirm(&mut self, local: u32) -> Confirmation {
        if self.next.as_ref().is_none_or(|next| next.local != local) {
            return Confirmation::None;
        }
        let next = self.next.take();
        let current = core::mem::replace(&mut self.current, next);
        let gone = core::mem::replace(&mut self.previous, current);
        Confirmation::Confirmed(self.retire(gone))
    }

    /// The session to send with, if there is one that still may.
    pub fn current(&mut self, now: Now) -> Option<&mut Session> {
        self.current.as_mut().filter(|session| !session.is_expired(now))
    }

    /// Whether [`Keyring::current`] would give one.
    pub fn is_ready(&self, now: Now) -> bool {
        self.current.as_ref().is_some_and(|session| !session.is_expired(now))
    }

    /// The session with this local index.
    pub fn by_index(&mut self, local: u32) -> Option<&mut Session> {
        [&mut self.current, &mut self.previous, &mut self.next]
            .into_iter()
            .flatten()
            .find(|session| session.local == local)
    }

    /// How many sessions there are, expired ones included.
    pub fn len(&self) -> usize {
        [&self.current, &self.previous, &self.next].into_iter().flatten().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves the current session to open, not to send.
    #[cfg(test)]
    pub(crate) fn lose_current(&mut self) {
        self.previous = self.current.take();
    }

    /// Drops (and so wipes) every session.
    pub fn clear(&mut self) -> Retired {
        [self.current.take(), self.previous.take(), self.next.take()].map(|session| self.retire(session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::AeadKey;
    use crate::noise::SessionKeys;
    use core::time::Duration;

    fn session(local: u32, role: Role) -> Session {
        let keys = SessionKeys { send: AeadKey::new(&[1; 32]), receive: AeadKey::new(&[2; 32]) };
        Session::new(local, 0, role, keys, Duration::ZERO, Now::default())
    }

    fn held(keyring: &Keyring) -> [Option<u32>; 3] {
        [&keyring.previous, &keyring.current, &keyring.next]
            .map(|slot| slot.as_ref().map(|session| session.local))
    }

    #[test]
    fn sessions_move_from_next_to_current_to_previous() {
        use Role::{Initiator, Responder};
        let mut keyring = Keyring::default();
        assert_eq!(keyring.add(session(1, Responder)), [None, None, None]);
        assert_eq!(held(&keyring), [None, None, Some(1)]);
        assert!(!keyring.is_ready(Now::default()), "an unconfirmed session must not send");
        assert_eq!(keyring.confirm(9), Confirmation::None);
        assert_eq!(keyring.confirm(1), Confirmation::Confirmed(None));
        assert_eq!(keyring.confirm(1), Confirmation::None);
        assert_eq!(held(&keyring), [None, Some(1), None]);
        assert_eq!(keyring.add(session(2, Initiator)), [None, None, None]);
        assert_eq!(held(&keyring), [Some(1), Some(2), None]);
        assert_eq!(keyring.add(session(3, Responder)), [None, Some(1), None]);
        assert_eq!(held(&keyring), [None, Some(2), Some(3)]);
        assert_eq!(keyring.add(session(4, Responder)), [Some(3), None, None]);
        assert_eq!(keyring.add(session(5, Initiator)), [None, Some(2), None]);
        assert_eq!(held(&keyring), [Some(4), Some(5), None]);
        assert_eq!(keyring.add(session(6, Initiator)), [Some(4), None, None]);
        assert_eq!(held(&keyring), [Some(5), Some(6), None]);
        assert_eq!(keyring.clear(), [Some(6), Some(5), None]);
        assert!(keyring.is_empty());
    }

    #[test]
    fn a_session_added_beside_the_next_one_serves_until_that_is_used() {
        let mut keyring = Keyring::default();
        keyring.add(session(1, Role::Initiator));
        assert!(!keyring.waits_since(Moment::ZERO));
        keyring.add(session(2, Role::Responder));
        assert!(keyring.waits_since(Moment::ZERO));
        assert!(!keyring.waits_since(Moment::new(Duration::from_nanos(1))));
        assert_eq!(keyring.add_beside_next(session(3, Role::Initiator)), [None; 3]);
        assert_eq!(held(&keyring), [Some(1), Some(3), Some(2)]);
        assert_eq!(keyring.confirm(2), Confirmation::Confirmed(Some(1)));
        assert_eq!(held(&keyring), [Some(3), Some(2), None]);
        keyring.add(session(4, Role::Responder));
        assert_eq!(keyring.add_beside_next(session(5, Role::Initiator)), [None; 3]);
        assert_eq!(keyring.add_beside_next(session(6, Role::Initiator)), [Some(2), None, None]);
    }
}
