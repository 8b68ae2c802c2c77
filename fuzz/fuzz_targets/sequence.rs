#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::sequence`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::sequence(bytes));

#[cfg(not(fuzzing))]
fn main() {}
