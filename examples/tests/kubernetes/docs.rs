//! What the documentation says of the manifests.

use std::{fs, path::Path};

use serde::Deserialize;
use yaml_serde::Value;

use super::{manifests::Manifests, program};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join("docs").join(name)).expect("a document")
}

#[test]
fn the_secrets_that_are_made_are_those_that_are_used() {
    let text = document("kubernetes.md");
    let (_, literal) = text
        .split_once("create secret generic stunner-auth-secret --from-literal=")
        .expect("a command that makes it");
    let (key, _) = literal.split_once('=').expect("a key");
    assert!(program::reads(key), "{key}");

    assert!(text.contains("create secret tls webrtc-server-secret --cert=tls.crt --key=tls.key"));
    let manifests = Manifests::base();
    let volumes = manifests.workload("webrtc-server").pod.volumes.as_deref().expect("volumes");
    let tls =
        volumes.iter().find_map(|volume| volume.secret.as_ref().filter(|secret| secret.items.is_some()));
    let tls = tls.expect("a Secret with items");
    assert_eq!(tls.secret_name.as_deref(), Some("webrtc-server-secret"));
    let items = tls.items.iter().flatten().map(|item| (item.key.as_str(), item.path.as_str()));
    assert_eq!(items.collect::<Vec<_>>(), [("tls.crt", "server.crt"), ("tls.key", "server.key")]);
}

#[test]
fn what_is_applied_is_there() {
    for name in ["kubernetes.md", "integrate.md"] {
        let text = document(name);
        let words = text.split(|letter: char| letter.is_whitespace() || "`()".contains(letter));
        for path in words.filter(|word| word.starts_with("examples/direct-one2one-call")) {
            assert!(Path::new(ROOT).join(path).exists(), "{name}: {path}");
        }
    }
}

#[test]
fn what_is_yaml_is_yaml() {
    for name in ["kubernetes.md", "integrate.md"] {
        let text = document(name);
        for block in text.split("```yaml\n").skip(1) {
            let (block, _) = block.split_once("```").expect("an end");
            for piece in yaml_serde::Deserializer::from_str(block) {
                assert!(Value::deserialize(piece).is_ok_and(|value| value.is_mapping()), "{name}: {block}");
            }
        }
    }
}
