//! The image: its paths, its user and its flags, against the program and the manifests.

use std::{collections::BTreeSet, fs, path::Path};

use super::{manifests::Manifests, program};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The instructions of a Dockerfile, continued lines joined.
struct Dockerfile(Vec<(String, String)>);

impl Dockerfile {
    fn read() -> Self {
        let path = Path::new(ROOT).join("examples/direct-one2one-call/Dockerfile");
        let text = fs::read_to_string(path).expect("a Dockerfile").replace("\\\n", " ");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let split = |line: &str| {
            let (name, rest) = line.split_once(' ').expect("an instruction");
            (name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        Self(lines.map(split).collect())
    }

    /// The last instruction of this name.
    fn get(&self, name: &str) -> &str {
        let found = self.0.iter().rev().find(|(instruction, _)| instruction == name);
        found.map(|(_, rest)| rest.as_str()).unwrap_or_else(|| panic!("{name} is there"))
    }

    /// The command of an instruction that ends in one, as JSON.
    fn command(&self, name: &str) -> Vec<String> {
        let rest = self.get(name);
        serde_json::from_str(&rest[rest.find('[').expect("a list")..]).expect("JSON")
    }

    fn run(&self) -> &str {
        self.get("RUN")
    }
}

#[test]
fn the_image_is_built_by_the_toolchain_that_the_workspace_asks_for() {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let (_, from) = Dockerfile::read().0.into_iter().find(|(name, _)| name == "FROM").expect("a base");

    assert!(from.contains(&format!("rust:{version}.")), "{from} is not {version}");
}

#[test]
fn the_image_is_built_of_what_is_locked() {
    let dockerfile = Dockerfile::read();

    assert!(dockerfile.run().contains("cargo build --locked --release"));
    assert!(dockerfile.run().contains("-p stunner-examples --example direct-one2one-call"));
}

#[test]
fn what_is_run_is_what_was_copied() {
    let dockerfile = Dockerfile::read();

    assert!(dockerfile.run().contains("release/examples/direct-one2one-call\" LICENSE /image/app/"));
    assert_eq!(dockerfile.get("COPY"), "--from=build --chown=65532:65532 /image /");
    assert_eq!(dockerfile.command("ENTRYPOINT"), ["/app/direct-one2one-call"]);
    assert!(dockerfile.get("FROM").starts_with("scratch"));
}

#[test]
fn the_image_runs_as_the_user_of_the_manifests() {
    let manifests = Manifests::base();
    for workload in manifests.workloads() {
        let context = workload.pod.security_context.as_ref().expect("a context");
        let (user, group) = (context.run_as_user.expect("a user"), context.run_as_group.expect("a group"));
        assert_eq!(Dockerfile::read().get("USER"), format!("{user}:{group}"));
    }
}

#[test]
fn keys_are_mounted_where_the_program_looks_for_them() {
    let manifests = Manifests::base();
    let workdir = Dockerfile::read().get("WORKDIR").to_owned();

    assert_eq!(manifests.workload("webrtc-server").mount("webrtc-server-tls"), format!("{workdir}/keys"));
}

#[test]
fn the_image_exposes_what_the_manifests_serve_besides_health() {
    let manifests = Manifests::base();
    let workloads = manifests.workloads();
    let ports = workloads.iter().flat_map(|workload| workload.container().ports.iter().flatten());
    let served = ports.filter(|port| port.name.as_deref() != Some("health")).map(|port| {
        format!(
            "{}/{}",
            port.container_port,
            port.protocol.as_deref().expect("a protocol").to_ascii_lowercase()
        )
    });
    let exposed = Dockerfile::read().get("EXPOSE").split(' ').map(str::to_owned).collect();

    assert_eq!(served.collect::<BTreeSet<_>>(), exposed);
}

#[test]
fn the_health_check_is_one_that_the_program_has() {
    let dockerfile = Dockerfile::read();
    let command = dockerfile.command("HEALTHCHECK");
    let arguments: Vec<_> = command.iter().skip(1).map(String::as_str).collect();

    assert_eq!(command.first(), dockerfile.command("ENTRYPOINT").first());
    assert!(program::takes(&arguments), "{arguments:?}");
    assert!(dockerfile.get("ENV").contains("STUNNER_HEALTH_ADDR=127.0.0.1:8086"));
}

#[test]
fn every_variable_that_the_image_sets_is_read() {
    let dockerfile = Dockerfile::read();
    for assignment in dockerfile.get("ENV").split(' ') {
        let (name, _) = assignment.split_once('=').expect("a variable");
        assert!(program::reads(name), "{name}");
    }
}

#[test]
fn the_build_sees_every_member_of_the_workspace() {
    let ignored = fs::read_to_string(Path::new(ROOT).join(".dockerignore")).expect("a list");
    let ignored: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    let needed = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "stunner-proto",
        "stunner-relay",
        "stunner-auth",
        "examples",
        "benches",
        "fuzz",
    ];

    for name in needed {
        assert!(Path::new(ROOT).join(name).exists(), "{name}");
        assert!(!ignored.iter().any(|line| line.trim_start_matches("**/") == name), "{name}");
    }
    assert!(ignored.contains(&".git") && ignored.contains(&"**/target") && ignored.contains(&"**/keys"));
}
