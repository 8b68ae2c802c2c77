#![cfg_attr(fuzzing, no_main)]
//! See `stunner_fuzz::message`.

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stunner_fuzz::message(bytes));

#[cfg(not(fuzzing))]
fn main() {}
