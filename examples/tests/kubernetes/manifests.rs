//! The manifests as the types of Kubernetes: those of the base, and what kustomize makes of each directory.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, sync::OnceLock};

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Container, PodSpec, PodTemplateSpec, Service},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use serde::{Deserialize, de::DeserializeOwned};
use yaml_serde::Value;

/// Labels, or a selector of them.
pub(crate) type Labels = BTreeMap<String, String>;

/// The directories beside the base.
const OVERLAYS: [&str; 4] = [".", "udp-only", "node-port", "host-network"];

/// All objects of one way to deploy.
#[derive(Default)]
pub(crate) struct Manifests {
    pub(crate) config_maps: Vec<ConfigMap>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) daemon_sets: Vec<DaemonSet>,
    pub(crate) services: Vec<Service>,
    pub(crate) policies: Vec<NetworkPolicy>,
    pub(crate) budgets: Vec<PodDisruptionBudget>,
    pub(crate) autoscalers: Vec<HorizontalPodAutoscaler>,
}

/// What runs Pods.
pub(crate) struct Workload<'a> {
    pub(crate) name: &'a str,
    pub(crate) selector: &'a Labels,
    pub(crate) labels: &'a Labels,
    pub(crate) pod: &'a PodSpec,
}

impl Manifests {
    /// As they are in the base's files, and the autoscaler's.
    pub(crate) fn base() -> Self {
        let list: Kustomization = yaml_serde::from_str(&text("base/kustomization.yaml")).expect("a list");
        let mut manifests = Self::default();
        for file in list.resources {
            manifests.read(&text(&format!("base/{file}")));
        }
        manifests.read(&text("stunner-hpa.yaml"));
        manifests
    }

    /// As `kubectl apply -k` would send them; `None` where there is no kubectl.
    pub(crate) fn overlay(directory: &str) -> Option<Self> {
        static RENDERED: OnceLock<Vec<(&str, String)>> = OnceLock::new();
        let all = RENDERED.get_or_init(|| {
            let directories = OVERLAYS.iter().filter(|_| has_kubectl());
            directories.map(|name| (*name, rendered(name))).collect()
        });
        let (_, text) = all.iter().find(|(name, _)| *name == directory)?;
        let mut manifests = Self::default();
        manifests.read(text);
        Some(manifests)
    }

    /// Every way to deploy, by name.
    pub(crate) fn all() -> Vec<(&'static str, Self)> {
        let overlays = OVERLAYS.into_iter().filter_map(|name| Some((name, Self::overlay(name)?)));
        std::iter::once(("base", Self::base())).chain(overlays).collect()
    }

    /// Kinds that are not meant to be in the repository, such as Secrets, are not among these.
    fn read(&mut self, text: &str) {
        for document in yaml_serde::Deserializer::from_str(text) {
            let value = Value::deserialize(document).expect("YAML");
            match value.get("kind").and_then(Value::as_str).expect("a kind") {
                "ConfigMap" => self.config_maps.push(typed(value)),
                "Deployment" => self.deployments.push(typed(value)),
                "DaemonSet" => self.daemon_sets.push(typed(value)),
                "Service" => self.services.push(typed(value)),
                "NetworkPolicy" => self.policies.push(typed(value)),
                "PodDisruptionBudget" => self.budgets.push(typed(value)),
                "HorizontalPodAutoscaler" => self.autoscalers.push(typed(value)),
                kind => panic!("{kind} is not meant to be here"),
            }
        }
    }

    pub(crate) fn workloads(&self) -> Vec<Workload<'_>> {
        let deployments = self.deployments.iter().map(|deployment| {
            let spec = deployment.spec.as_ref().expect("a specification");
            Workload::new(&deployment.metadata, &spec.selector, &spec.template)
        });
        let daemon_sets = self.daemon_sets.iter().map(|set| {
            let spec = set.spec.as_ref().expect("a specification");
            Workload::new(&set.metadata, &spec.selector, &spec.template)
        });
        deployments.chain(daemon_sets).collect()
    }

    pub(crate) fn workload(&self, name: &str) -> Workload<'_> {
        self.workloads().into_iter().find(|workload| workload.name == name).expect("a workload of this name")
    }

    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.metadata.name.as_deref() == Some(name))
    }

    /// What `stunner-config` says.
    pub(crate) fn setting(&self, key: &str) -> &str {
        let data = self.config_maps.iter().find_map(|map| map.data.as_ref()).expect("a ConfigMap");
        data.get(key).unwrap_or_else(|| panic!("{key} is set"))
    }
}

impl<'a> Workload<'a> {
    fn new(metadata: &'a ObjectMeta, selector: &'a LabelSelector, template: &'a PodTemplateSpec) -> Self {
        Self {
            name: metadata.name.as_deref().expect("a name"),
            selector: selector.match_labels.as_ref().expect("labels"),
            labels: template.metadata.as_ref().and_then(|meta| meta.labels.as_ref()).expect("labels"),
            pod: template.spec.as_ref().expect("a Pod"),
        }
    }

    pub(crate) fn container(&self) -> &'a Container {
        let [container] = self.pod.containers.as_slice() else { panic!("{}: one container", self.name) };
        container
    }

    pub(crate) fn arguments(&self) -> &'a [String] {
        self.container().args.as_deref().expect("arguments")
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let variables = self.container().env.iter().flatten();
        variables.map(|variable| (variable.name.as_str(), variable.value.as_deref().expect("a value")))
    }

    pub(crate) fn variable(&self, name: &str) -> &'a str {
        self.variables().find(|(key, _)| *key == name).map(|(_, value)| value).expect("a variable")
    }

    /// Where a volume is mounted.
    pub(crate) fn mount(&self, volume: &str) -> &'a str {
        let mut mounts = self.container().volume_mounts.iter().flatten();
        &mounts.find(|mount| mount.name == volume).expect("a mount").mount_path
    }
}

#[derive(Deserialize)]
struct Kustomization {
    resources: Vec<String>,
}

fn rendered(directory: &str) -> String {
    let path = directory_of(directory);
    let output = Command::new("kubectl").arg("kustomize").arg(path).output().expect("there is kubectl");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{directory}: {told}");
    String::from_utf8(output.stdout).expect("text")
}

fn typed<T: DeserializeOwned>(value: Value) -> T {
    yaml_serde::from_value(value).expect("what the type has")
}

/// Where kubectl is missing nothing is rendered; CI must have it.
pub(crate) fn has_kubectl() -> bool {
    let found = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "there must be kubectl where CI is set");
    if !found {
        eprintln!("there is no kubectl: directories beside the base are not rendered");
    }
    found
}

pub(crate) fn directory_of(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/direct-one2one-call/kubernetes")).join(name)
}

pub(crate) fn text(file: &str) -> String {
    fs::read_to_string(directory_of(file)).expect("a file")
}
