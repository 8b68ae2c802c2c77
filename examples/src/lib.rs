//! The programs are in the directories beside this one.

/// The examples of the documentation, so that they are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/integrate.md")]
struct Integrate;
