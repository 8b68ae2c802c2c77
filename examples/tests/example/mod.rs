//! Examples, which cargo does not build for a test: they are built here, each once, as the test itself was.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        OnceLock,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

/// How long a program may take that ends by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where an example is, of which a test file has only one.
pub(crate) fn binary(name: &str) -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        let directory = profile.file_name().and_then(|name| name.to_str()).expect("a name");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
            .args(["--example", name, "--profile", if directory == "debug" { "dev" } else { directory }])
            .arg("--target-dir")
            .arg(profile.parent().expect("target"))
            .status();
        assert!(status.expect("there is cargo").success(), "the example is built");
        profile.join("examples").join(name)
    })
}

/// Runs a program to its end, as [`Command::output`] does, but not for ever.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let _limit = limit(&child);
    child.wait_with_output()
}

/// Kills a program that does not end in time, which is when the sender that this returns is dropped.
pub(crate) fn limit(child: &Child) -> Sender<()> {
    let (ended, has_ended) = channel();
    let id = child.id().to_string();
    thread::spawn(move || {
        if has_ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let killed = Command::new("kill").args(["-KILL", &id]).status();
            eprintln!("a program does not end, and is killed: {killed:?}");
        }
    });
    ended
}
