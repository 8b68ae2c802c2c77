#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::uri`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::uri(bytes));

#[cfg(not(fuzzing))]
fn main() {}
