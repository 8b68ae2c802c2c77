//! Open files: each relayed transport address and each stream is one, and a process may have so many.

use std::{
    cell::Cell,
    fmt, io,
    time::{Duration, Instant},
};

/// How long nothing more is said of what could not be opened.
const SILENCE: Duration = Duration::from_secs(1);

/// The same numbers on every Unix: the process, or the system, may open no more files.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Lets the process have as many files open as it may ask for.
#[cfg(target_os = "linux")]
pub(super) fn raise_limit() {
    match super::linux::raise_open_files() {
        Ok((before, now)) => tracing::debug!(before, now, "the limit of open files is as high as may be"),
        Err(error) => tracing::debug!(%error, "the limit of open files stays as it is"),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) const fn raise_limit() {}

/// What one worker logs about what it could not open. Clients bring that about as often as they like, so that it is one
/// line a second at most.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Cell<Option<Instant>>,
}

impl Complaints {
    /// Logs what failed and why; what to do about it, where it was for want of files.
    pub(super) fn log(&self, what: fmt::Arguments<'_>, error: &io::Error, now: Instant) {
        if !self.is_due(now) {
            return;
        }
        match remedy(error) {
            Some(remedy) => tracing::warn!(%error, "{what}: {remedy}"),
            None => tracing::warn!(%error, "{what}"),
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let due = self.last.get().is_none_or(|last| now.saturating_duration_since(last) >= SILENCE);
        if due {
            self.last.set(Some(now));
        }
        due
    }
}

/// What to do when there are too many open files; `None` when it is something else.
fn remedy(error: &io::Error) -> Option<String> {
    match error.raw_os_error() {
        Some(EMFILE) if cfg!(unix) => Some(format!(
            "the process has all files open that it may{}; raise the limit with `ulimit -n`, or LimitNOFILE= of systemd",
            limit()
        )),
        Some(ENFILE) if cfg!(unix) => {
            Some("the system has all files open that it may; raise fs.file-max with `sysctl`".to_owned())
        }
        _ => None,
    }
}

/// How many files the process may have open, where it is known.
#[cfg(target_os = "linux")]
pub(super) fn most_files() -> Option<usize> {
    super::linux::open_files().ok().map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(target_os = "linux"))]
pub(super) const fn most_files() -> Option<usize> {
    None
}

/// The present limit in brackets, where it is known.
#[cfg(target_os = "linux")]
fn limit() -> String {
    super::linux::open_files().map_or_else(|_| String::new(), |limit| format!(" ({limit})"))
}

#[cfg(not(target_os = "linux"))]
const fn limit() -> &'static str {
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_numbers_are_those_of_the_operating_system() {
        assert_eq!((EMFILE, ENFILE), (libc::EMFILE, libc::ENFILE));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_has_too_many_files_is_told_the_limit_and_how_to_raise_it() {
        let said = remedy(&io::Error::from_raw_os_error(EMFILE)).expect("a remedy");
        let limit = crate::net::linux::open_files().expect("a limit");

        assert!(said.contains(&format!("({limit})")), "{said}");
        assert!(said.contains("ulimit -n") && said.contains("LimitNOFILE="), "{said}");
    }

    #[test]
    fn a_busy_port_is_no_want_of_files() {
        assert_eq!(remedy(&io::ErrorKind::AddrInUse.into()), None);
    }

    #[test]
    fn a_second_complaint_comes_a_second_after_the_first() {
        let start = tokio::time::Instant::now().into_std();
        let complaints = Complaints::default();

        let said =
            [0, 1, 999, 1_000, 1_001].map(|passed| complaints.is_due(start + Duration::from_millis(passed)));

        assert_eq!(said, [true, false, false, true, false]);
    }
}
