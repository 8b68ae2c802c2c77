#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::server`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::server(bytes));

#[cfg(not(fuzzing))]
fn main() {}
