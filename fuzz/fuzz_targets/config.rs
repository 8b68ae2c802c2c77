#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::config`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::config(bytes));

#[cfg(not(fuzzing))]
fn main() {}
