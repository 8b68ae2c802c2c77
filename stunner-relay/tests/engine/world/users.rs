//! Users whose passwords change while a server runs, and who are counted each time the server asks for them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use stunner_proto::attribute::Userhash;
use stunner_relay::{Authenticator, Credential, Identity, UserId};

/// Names, and the passwords of each.
pub(crate) struct Users {
    passwords: Mutex<BTreeMap<&'static str, Vec<&'static str>>>,
    lifetime: Duration,
    asked: AtomicU32,
}

impl Users {
    /// These users, whose keys may be kept for so long.
    pub(crate) fn new(users: &[(&'static str, &'static str)], lifetime: Duration) -> Arc<Self> {
        let passwords = users.iter().map(|&(name, password)| (name, vec![password])).collect();
        Arc::new(Self { passwords: Mutex::new(passwords), lifetime, asked: AtomicU32::new(0) })
    }

    /// Gives a user other passwords, or none: then the name is nobody's.
    pub(crate) fn set(&self, name: &'static str, passwords: &[&'static str]) {
        let mut users = self.passwords.lock().expect("nobody panicked");
        if passwords.is_empty() {
            users.remove(name);
        } else {
            users.insert(name, passwords.to_vec());
        }
    }

    /// How often the server has asked.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Authenticator for Users {
    fn credentials(&self, who: &Identity<'_>, try_key: &mut dyn FnMut(Credential) -> bool) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let users = self.passwords.lock().expect("nobody panicked");
        let found = users.iter().find(|(name, _)| match who.user {
            UserId::Name(asked) => **name == asked,
            UserId::Hash(hash) => Userhash::new(name, who.realm).0 == *hash,
            _ => false,
        });
        let Some((name, passwords)) = found else { return };
        for password in passwords {
            let credential = Credential::new(who.key(name, password), name).good_for(self.lifetime);
            if try_key(credential) {
                return;
            }
        }
    }

    fn knows_hashes(&self) -> bool {
        true
    }
}
