//! When the program is asked to end.

use std::io;

use tokio::signal;

/// Ctrl-C, and SIGTERM, which Kubernetes sends. From now on neither ends the program by itself.
pub(crate) struct Signals {
    #[cfg(unix)]
    kinds: [signal::unix::Signal; 2],
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        use signal::unix::{SignalKind, signal};

        Ok(Self { kinds: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?] })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.kinds;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
