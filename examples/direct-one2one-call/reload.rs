//! Settings that change while the program runs: what Kubernetes writes into a mounted ConfigMap or Secret.

use std::{path::PathBuf, time::Duration};

use stunner_auth::{Auth, Environment};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    ice::Ice,
    options::{Settings, read_dirs},
    users::Users,
};

/// How often the directories are read. Kubernetes needs up to a minute or two to write them.
const EVERY: Duration = Duration::from_secs(2);

/// What follows the settings.
pub(crate) struct Reload {
    dirs: Vec<PathBuf>,
    process: Environment,
    /// Those that were read last, be they good or not.
    read: Environment,
    /// Those in effect.
    settings: Settings,
    users: Users,
    ice: Option<Ice>,
    /// Why they cannot be read, so that it is said once.
    failure: Option<String>,
    /// Credentials that the page is to give out from then on.
    next: Option<(Auth, Instant)>,
}

impl Reload {
    /// `process` is what the directories go before.
    pub(crate) fn new(
        dirs: Vec<PathBuf>,
        process: Environment,
        settings: Settings,
        users: Users,
        ice: Option<Ice>,
    ) -> Self {
        let read = settings.environment.clone();
        Self { dirs, process, read, settings, users, ice, failure: None, next: None }
    }

    /// Reads and reads again.
    pub(crate) async fn run(mut self) {
        if self.dirs.is_empty() {
            return std::future::pending().await;
        }
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look();
        }
    }

    fn look(&mut self) {
        let found = read_dirs(&self.dirs, &self.process);
        let failure = found.as_ref().err().cloned();
        if failure.is_some() && failure != self.failure {
            tracing::warn!(
                error = failure,
                "the configuration cannot be read; the one before stays in effect"
            );
        }
        self.failure = failure;
        if let Ok(found) = found
            && found != self.read
        {
            self.read = found;
            if let Err(error) = self.take() {
                tracing::error!(error, "a changed configuration is no good; the one before stays in effect");
            }
        }
        if let Some((auth, _)) = self.next.take_if(|(_, at)| *at <= Instant::now()) {
            tracing::info!("clients are given the new credentials");
            self.ice.iter().for_each(|ice| ice.change(|given| given.issue(&auth)));
        }
    }

    /// Takes over what was read, all or nothing.
    fn take(&mut self) -> Result<(), String> {
        let new = self.settings.again(&self.read)?;
        let (old_auth, new_auth) = (&self.settings.auth, &new.auth);
        if old_auth.realm != new_auth.realm
            || std::mem::discriminant(&old_auth.kind) != std::mem::discriminant(&new_auth.kind)
        {
            return Err(
                "STUNNER_REALM and STUNNER_AUTH_TYPE are read at the start only: restart the program"
                    .to_owned(),
            );
        }
        if old_auth != new_auth || self.settings.previous != new.previous {
            self.rotate(&new);
        }
        self.ice.iter().for_each(|ice| ice.change(|given| given.surround(&new.environment)));
        tracing::info!(
            "the configuration has changed: addresses, transports and credentials are in effect now, and all else at the next start"
        );
        self.settings = new;
        Ok(())
    }

    /// TURN accepts the new credentials at once, and the old ones for as long as they may have been given out. The page
    /// goes on giving those out for a while: the servers of others may hear of the new ones later.
    fn rotate(&mut self, new: &Settings) {
        let delay = new.cluster.rotation_delay;
        let overlap = self.settings.duration.saturating_add(delay.as_secs().saturating_mul(2));
        self.users.change(&new.auth, new.previous.as_ref(), overlap);
        let wait = if new.turn { Duration::ZERO } else { delay };
        tracing::info!(seconds = overlap, "credentials have changed; the old ones are accepted for so long");
        self.next = Some((new.auth.clone(), Instant::now() + wait));
    }
}

#[cfg(test)]
#[path = "reload/tests.rs"]
mod tests;
