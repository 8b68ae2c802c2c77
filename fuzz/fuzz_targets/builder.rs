#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::builder`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::builder(bytes));

#[cfg(not(fuzzing))]
fn main() {}
