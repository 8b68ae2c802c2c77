#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::framing`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::framing(bytes));

#[cfg(not(fuzzing))]
fn main() {}
