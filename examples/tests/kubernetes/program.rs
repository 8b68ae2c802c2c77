//! What the program says about itself.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
};

/// Whether the program's parser takes these arguments.
pub(crate) fn takes(arguments: &[&str]) -> bool {
    // Whatever stands before it is parsed, and then nothing is run.
    run(&[arguments, &["--help"]].concat()).status.success()
}

/// Whether the program reads a variable: its help names every one.
pub(crate) fn reads(variable: &str) -> bool {
    static HELP: OnceLock<String> = OnceLock::new();
    let help = HELP.get_or_init(|| String::from_utf8(run(&["--help"]).stdout).expect("text"));
    let mut words = help.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.any(|word| word == variable)
}

fn run(arguments: &[&str]) -> Output {
    let told = "the example is built: cargo build --example direct-one2one-call";
    Command::new(binary()).args(arguments).output().expect(told)
}

/// Where cargo puts examples, beside the directory of this test.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let target = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    target.join("examples").join("direct-one2one-call")
}
