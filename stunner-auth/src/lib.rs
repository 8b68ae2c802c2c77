//! TURN credentials and ICE configurations, compatible with `@l7mp/stunner-auth-lib`.
#![forbid(unsafe_code)]

mod credentials;

pub use credentials::{expires, password};
