//! How many files the process may have open.
#![expect(unsafe_code, reason = "the standard library has no interface to these two calls")]

use std::io;

use libc::{RLIMIT_NOFILE, rlim_t, rlimit};

/// How many files the process may have open now.
pub(in crate::net) fn open_files() -> io::Result<rlim_t> {
    get().map(|limit| limit.rlim_cur)
}

/// Lets the process have as many files open as it may ask for (the soft limit becomes the hard one). Returns how many it
/// could have before, and how many it can have now.
pub(in crate::net) fn raise_open_files() -> io::Result<(rlim_t, rlim_t)> {
    let limit = get()?;
    if limit.rlim_cur < limit.rlim_max {
        set(rlimit { rlim_cur: limit.rlim_max, ..limit })?;
    }
    Ok((limit.rlim_cur, limit.rlim_max))
}

fn get() -> io::Result<rlimit> {
    let mut limit = rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a `rlimit` that lives through the call, and nobody else has it.
    let got = unsafe { libc::getrlimit(RLIMIT_NOFILE, &raw mut limit) };
    if got == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn set(limit: rlimit) -> io::Result<()> {
    // SAFETY: `limit` is a `rlimit` that lives through the call, which only reads it.
    let done = unsafe { libc::setrlimit(RLIMIT_NOFILE, &raw const limit) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
