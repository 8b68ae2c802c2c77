#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::differential`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::differential(bytes));

#[cfg(not(fuzzing))]
fn main() {}
