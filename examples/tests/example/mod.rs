//! Examples, which cargo does not build for a test: they are built here, each once, as the test itself was.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

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
