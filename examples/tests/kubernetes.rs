//! The manifests of the one-to-one call: what they say of one another and of the program is so, whichever way it is deployed.
#![cfg(unix)]

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        core::v1::{Probe, ServicePort},
        networking::v1::NetworkPolicyPort,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

#[path = "kubernetes/address.rs"]
mod address;
#[path = "kubernetes/api_server.rs"]
mod api_server;
#[path = "kubernetes/dockerfile.rs"]
mod dockerfile;
#[path = "kubernetes/docs.rs"]
mod docs;
#[path = "kubernetes/manifests.rs"]
mod manifests;
#[path = "kubernetes/pods.rs"]
mod pods;
#[path = "kubernetes/program.rs"]
mod program;
#[path = "kubernetes/security.rs"]
mod security;

use manifests::{Labels, Manifests, Workload};

/// Whether a selector selects Pods of these labels.
fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The one workload whose Pods a selector selects.
fn selected<'a>(manifests: &'a Manifests, selector: Option<&Labels>, by: &str) -> Workload<'a> {
    let selector = selector.unwrap_or_else(|| panic!("{by} selects"));
    let mut found = manifests.workloads().into_iter().filter(|workload| selects(selector, workload.labels));
    let (first, second) = (found.next(), found.next());
    assert!(second.is_none(), "{by} selects two");
    first.unwrap_or_else(|| panic!("{by} selects nothing"))
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

#[test]
fn selectors_find_pods() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            assert!(selects(workload.selector, workload.labels), "{way}: {}", workload.name);
            for spread in workload.pod.topology_spread_constraints.iter().flatten() {
                let labels = spread.label_selector.as_ref().and_then(|labels| labels.match_labels.as_ref());
                assert_eq!(selected(&manifests, labels, "a spread").name, workload.name);
            }
        }
        for service in &manifests.services {
            let spec = service.spec.as_ref().expect("a specification");
            selected(&manifests, spec.selector.as_ref(), "a Service");
        }
        for policy in &manifests.policies {
            let spec = policy.spec.as_ref().expect("a specification");
            let selector = spec.pod_selector.as_ref().and_then(|pods| pods.match_labels.as_ref());
            selected(&manifests, selector, "a NetworkPolicy");
        }
        for budget in &manifests.budgets {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let labels = selector.and_then(|selector| selector.match_labels.as_ref());
            assert_eq!(selected(&manifests, labels, "a budget").name, "stunner");
        }
    }
}

#[test]
fn services_lead_to_ports_that_containers_have() {
    for (way, manifests) in Manifests::all() {
        for service in &manifests.services {
            let spec = service.spec.as_ref().expect("a specification");
            let workload = selected(&manifests, spec.selector.as_ref(), "a Service");
            for port in spec.ports.as_deref().expect("ports") {
                let Some(IntOrString::String(target)) = &port.target_port else {
                    panic!("{way}: a name of a port")
                };
                let mut ports = workload.container().ports.iter().flatten();
                let target = ports.find(|port| port.name.as_ref() == Some(target)).expect("a port");
                assert_eq!(target.protocol.as_deref(), Some(protocol(port)), "{way}");
                assert_eq!(target.container_port, port.port, "{way}");
            }
        }
    }
}

#[test]
fn containers_serve_the_ports_that_the_program_is_told() {
    for (way, manifests) in Manifests::all() {
        let port = |workload: &str, name: &str| {
            let ports = manifests.workload(workload).container().ports.iter().flatten();
            let mut found = ports.filter(|port| port.name.as_deref() == Some(name));
            found.next().expect("a port").container_port.to_string()
        };
        for name in ["turn-udp", "turn-tcp"] {
            assert_eq!(port("stunner", name), manifests.setting("STUNNER_PORT"), "{way}");
        }
        let uri = format!("--as-uri=https://0.0.0.0:{}", port("webrtc-server", "https"));
        assert!(manifests.workload("webrtc-server").arguments().contains(&uri), "{way}");
    }
}

/// A port of a policy: `UDP 10000-20000`.
fn policy_port(port: &NetworkPolicyPort) -> String {
    let Some(IntOrString::Int(first)) = port.port else { panic!("a number") };
    format!("{} {first}-{}", port.protocol.as_deref().expect("a protocol"), port.end_port.unwrap_or(first))
}

#[test]
fn policies_open_what_is_served_and_nothing_else() {
    for (way, manifests) in Manifests::all() {
        let turn = manifests.setting("STUNNER_PORT");
        let relayed = format!(
            "UDP {}-{}",
            manifests.setting("STUNNER_MIN_PORT"),
            manifests.setting("STUNNER_MAX_PORT")
        );
        for policy in &manifests.policies {
            let spec = policy.spec.as_ref().expect("a specification");
            assert_eq!(spec.policy_types.as_deref(), Some(&["Ingress", "Egress"].map(str::to_owned)[..]));
            let ports = |ports: &Option<Vec<NetworkPolicyPort>>| -> Vec<_> {
                ports.iter().flatten().map(policy_port).collect()
            };
            let ingress = spec.ingress.iter().flatten();
            let ingress: Vec<_> = ingress.map(|rule| (rule.from.is_some(), ports(&rule.ports))).collect();
            let egress = spec.egress.iter().flatten();
            let egress: Vec<_> = egress.map(|rule| (rule.to.is_some(), ports(&rule.ports))).collect();
            if policy.metadata.name.as_deref() == Some("stunner-network-policy") {
                let clients = vec![format!("UDP {turn}-{turn}"), format!("TCP {turn}-{turn}")];
                assert_eq!(ingress, [(false, clients), (true, vec![relayed.clone()])], "{way}");
                let names = ["UDP 53-53", "TCP 53-53"].map(str::to_owned).to_vec();
                assert_eq!(egress, [(true, vec![relayed.clone()]), (true, names)], "{way}");
            } else {
                assert_eq!(ingress, [(false, vec!["TCP 8443-8443".to_owned()])], "{way}");
                assert_eq!(egress, [], "{way}");
            }
        }
    }
}

#[test]
fn replicas_are_let_in_by_policy_and_found_by_name() {
    for (way, manifests) in Manifests::all() {
        let stunner = manifests.workload("stunner");
        let service = manifests.service(stunner.variable("STUNNER_RELAY_PEERS")).expect("a Service");
        let spec = service.spec.as_ref().expect("a specification");
        assert_eq!(spec.cluster_ip.as_deref(), Some("None"), "{way}");
        assert_eq!(spec.publish_not_ready_addresses, Some(true), "{way}");
        assert_eq!(selected(&manifests, spec.selector.as_ref(), "a Service").name, "stunner");

        let policies = manifests.policies.iter().filter_map(|policy| policy.spec.as_ref());
        let from =
            policies.clone().flat_map(|spec| spec.ingress.iter().flatten()).filter_map(|r| r.from.as_ref());
        let to = policies.flat_map(|spec| spec.egress.iter().flatten()).filter_map(|r| r.to.as_ref());
        for peer in from.chain(to).flatten().filter(|peer| peer.namespace_selector.is_none()) {
            let pods = peer.pod_selector.as_ref().and_then(|pods| pods.match_labels.as_ref());
            if peer.ip_block.is_none() {
                assert_eq!(selected(&manifests, pods, "a rule").name, "stunner", "{way}");
            }
        }
    }
}

#[test]
fn the_program_takes_the_arguments_of_the_containers() {
    assert!(!program::takes(&["--no-such-option"]));
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            let arguments: Vec<_> = workload.arguments().iter().map(String::as_str).collect();
            assert!(program::takes(&arguments), "{way}: {arguments:?}");
        }
    }
}

#[test]
fn the_program_reads_every_key_and_variable() {
    assert!(!program::reads("STUNNER_NO_SUCH_VARIABLE"));
    for (way, manifests) in Manifests::all() {
        let keys = manifests.config_maps.iter().flat_map(|map| map.data.iter().flatten());
        for (key, _) in keys {
            assert!(program::reads(key), "{way}: {key}");
        }
        for workload in manifests.workloads() {
            for (name, _) in workload.variables() {
                assert!(program::reads(name), "{way}: {name}");
            }
        }
    }
}

#[test]
fn configuration_is_read_where_it_is_mounted() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            let volumes = workload.pod.volumes.as_deref().expect("volumes");
            let find = |name: &str| volumes.iter().find(|volume| volume.name == name).expect("a volume");
            let map = find("config").config_map.as_ref().expect("a ConfigMap");
            assert_eq!(map.name, "stunner-config", "{way}");
            assert_eq!(manifests.config_maps[0].metadata.name.as_ref(), Some(&map.name), "{way}");
            let secret = find("auth").secret.as_ref().expect("a Secret");
            assert_eq!(secret.secret_name.as_deref(), Some("stunner-auth-secret"), "{way}");
            for volume in ["config", "auth"] {
                let option = format!("--config-dir={}", workload.mount(volume));
                assert!(workload.arguments().contains(&option), "{way}: {option}");
            }
        }
    }
}

#[test]
fn probes_ask_for_health_where_it_is_served() {
    for (way, manifests) in Manifests::all() {
        for workload in manifests.workloads() {
            let container = workload.container();
            let (host, port) = workload.variable("STUNNER_HEALTH_ADDR").rsplit_once(':').expect("a port");
            let mut ports = container.ports.iter().flatten();
            let health = ports.find(|port| port.name.as_deref() == Some("health")).expect("a port");
            assert_eq!(health.container_port.to_string(), port, "{way}");
            let path = |probe: &Option<Probe>| {
                let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref()).expect("an HTTP probe");
                assert_eq!(get.port, IntOrString::String("health".to_owned()), "{way}");
                // Without a host it is the Pod's address, which only a wildcard has for sure.
                assert_eq!(get.host.as_deref().unwrap_or("0.0.0.0"), host, "{way}");
                get.path.clone().expect("a path")
            };
            assert_eq!(path(&container.liveness_probe), "/live", "{way}");
            assert_eq!(path(&container.readiness_probe), "/ready", "{way}");
        }
    }
}

/// Else kube-proxy would forget the UDP flows of its calls.
#[test]
fn a_replica_that_drains_is_ready() {
    for (way, manifests) in Manifests::all() {
        assert_eq!(manifests.workload("stunner").variable("STUNNER_READY_WHILE_DRAINING"), "1", "{way}");
    }
}

#[test]
fn a_replica_is_given_the_time_that_it_drains_for() {
    for (way, manifests) in Manifests::all() {
        let stunner = manifests.workload("stunner");
        let drain: i64 = stunner.variable("STUNNER_DRAIN_TIMEOUT").parse().expect("seconds");
        let grace = stunner.pod.termination_grace_period_seconds.expect("seconds");
        assert!(grace >= drain + 10, "{way}: {grace} is hardly above {drain}");
    }
}

#[test]
fn scaling_is_left_to_who_scales() {
    for (way, manifests) in Manifests::all() {
        for deployment in &manifests.deployments {
            let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            // Who is registered is known to one process.
            let one = (deployment.metadata.name.as_deref() == Some("webrtc-server")).then_some(1);
            assert_eq!(replicas, one, "{way}");
        }
        for autoscaler in &manifests.autoscalers {
            let target = &autoscaler.spec.as_ref().expect("a specification").scale_target_ref;
            assert_eq!((target.kind.as_str(), target.name.as_str()), ("Deployment", "stunner"));
            let requests = manifests
                .workload("stunner")
                .container()
                .resources
                .as_ref()
                .and_then(|r| r.requests.as_ref());
            assert!(requests.is_some_and(|requests| requests.contains_key("cpu")), "{way}");
        }
    }
}

#[test]
fn clients_find_turn_at_one_address_and_one_port() {
    for (way, manifests) in Manifests::all() {
        let Some(spec) = manifests.service("stunner").and_then(|service| service.spec.as_ref()) else {
            assert_eq!(way, "host-network");
            continue;
        };
        let ports = spec.ports.as_deref().expect("ports");
        let places: BTreeSet<_> = ports.iter().map(|port| (port.port, port.node_port)).collect();
        assert_eq!(places.len(), 1, "{way}");
        let transports: BTreeSet<_> = ports.iter().map(protocol).collect();
        let tcp = manifests.setting("STUNNER_TRANSPORT_TCP_ENABLE") == "1";
        assert_eq!(transports.contains("TCP"), tcp, "{way}");
        assert!(transports.contains("UDP") && (tcp || way == "udp-only"), "{way}");
    }
}

#[test]
fn each_directory_is_what_its_name_says() {
    let way = Manifests::overlay;
    let kind = |manifests: &Manifests, service| {
        manifests.service(service).and_then(|service| service.spec.as_ref()?.type_.clone())
    };
    for (name, expected) in [(".", "LoadBalancer"), ("udp-only", "LoadBalancer"), ("node-port", "NodePort")] {
        let Some(manifests) = way(name) else { return };
        for service in ["stunner", "webrtc-server"] {
            assert_eq!(kind(&manifests, service).as_deref(), Some(expected), "{name}");
        }
    }
    let ports = way("node-port").expect("manifests");
    for service in &ports.services {
        for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
            assert!(port.node_port.is_none_or(|port| (30_000..=32_767).contains(&port)));
        }
    }
    let host = way("host-network").expect("manifests");
    let [set] = host.daemon_sets.as_slice() else { panic!("a DaemonSet") };
    assert_eq!(set.metadata.name.as_deref(), Some("stunner"));
    let pod = host.workload("stunner").pod;
    assert_eq!((pod.host_network, pod.dns_policy.as_deref()), (Some(true), Some("ClusterFirstWithHostNet")));
    assert_eq!((host.deployments.len(), host.budgets.len(), host.policies.len()), (1, 0, 1));
}
