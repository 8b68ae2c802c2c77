//! `public-address.sh`, with kubectl, on clusters of every sort.

use serde_json::{Value, json};

use super::{api_server::ApiServer, manifests::has_kubectl};

const CONFIG: &str = "/api/v1/namespaces/default/configmaps/stunner-config";
const SERVICE: &str = "/api/v1/namespaces/default/services/stunner";
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODE: &str = "/api/v1/nodes/worker";

fn config() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stunner-config"},
        "data": {"STUNNER_PORT": "3478"}})
}

fn service(kind: &str, node_ports: [u16; 2], ingress: &Value) -> Value {
    let port = |name, protocol, node_port| json!({"name": name, "protocol": protocol, "port": 3478, "nodePort": node_port});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stunner"},
        "spec": {"type": kind, "ports": [port("turn-udp", "UDP", node_ports[0]), port("turn-tcp", "TCP", node_ports[1])]},
        "status": {"loadBalancer": {"ingress": ingress}}})
}

fn pods() -> Value {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stunner-1"}, "spec": {"nodeName": "worker"}});
    json!({"apiVersion": "v1", "kind": "PodList", "items": [pod]})
}

fn node(addresses: &[(&str, &str)]) -> Value {
    let addresses = addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address}));
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"},
        "status": {"addresses": addresses.collect::<Vec<_>>()}})
}

/// Runs the script; gives what it says and what the ConfigMap was patched with, or why it failed.
fn run(name: &str, objects: &[(&str, Value)], arguments: &[&str]) -> Result<(String, Vec<Value>), String> {
    let server = ApiServer::start(name, objects);
    let output = server.script(arguments);
    let told = |bytes| String::from_utf8(bytes).expect("text");
    if output.status.success() {
        Ok((told(output.stdout), server.patches()))
    } else {
        assert_eq!(server.patches(), Vec::<Value>::new());
        Err(told(output.stderr))
    }
}

fn patch(address: &str, port: &str) -> Vec<Value> {
    vec![json!({"data": {"STUNNER_PUBLIC_ADDR": address, "STUNNER_PUBLIC_PORT": port}})]
}

fn patched(place: &str) -> String {
    format!("configmap/stunner-config patched (no change)\nClients find TURN at {place}\n")
}

#[test]
fn the_address_of_a_load_balancer_is_what_clients_are_told() {
    if !has_kubectl() {
        return;
    }
    for (ingress, address, place) in [
        (json!([{"ip": "203.0.113.10"}]), "203.0.113.10", "203.0.113.10:3478"),
        (json!([{"hostname": "turn.example.com"}]), "turn.example.com", "turn.example.com:3478"),
        (json!([{"ip": "203.0.113.10", "hostname": "a.example"}]), "203.0.113.10", "203.0.113.10:3478"),
        (json!([{"ip": "2001:db8::10"}, {"ip": "203.0.113.10"}]), "2001:db8::10", "[2001:db8::10]:3478"),
    ] {
        let objects = [(CONFIG, config()), (SERVICE, service("LoadBalancer", [30_001, 30_002], &ingress))];
        assert_eq!(run("balancer", &objects, &[]), Ok((patched(place), patch(address, "3478"))));
    }
}

#[test]
fn a_load_balancer_without_an_address_is_waited_for_and_then_told() {
    if !has_kubectl() {
        return;
    }
    for ingress in [json!([]), json!(null)] {
        let objects = [(CONFIG, config()), (SERVICE, service("LoadBalancer", [30_001, 30_001], &ingress))];

        let why = run("waiting", &objects, &["--timeout", "0"]).expect_err("no address");

        assert!(why.contains("after 0 s the load balancer has no address"), "{why}");
    }
}

#[test]
fn a_node_port_is_found_at_a_node_that_runs_a_replica() {
    if !has_kubectl() {
        return;
    }
    let service = service("NodePort", [30_478, 30_478], &json!([]));
    for (addresses, address) in [
        (&[("InternalIP", "10.0.0.7"), ("ExternalIP", "203.0.113.7")][..], "203.0.113.7"),
        (&[("InternalIP", "10.0.0.7"), ("InternalIP", "fd00::7"), ("Hostname", "worker")], "10.0.0.7"),
    ] {
        let objects =
            [(CONFIG, config()), (SERVICE, service.clone()), (PODS, pods()), (NODE, node(addresses))];
        let place = format!("{address}:30478");
        assert_eq!(run("node-port", &objects, &[]), Ok((patched(&place), patch(address, "30478"))));
    }
}

#[test]
fn node_ports_that_differ_are_refused() {
    if !has_kubectl() {
        return;
    }
    let service = service("NodePort", [30_478, 30_479], &json!([]));
    let objects = [(CONFIG, config()), (SERVICE, service), (PODS, pods())];

    let why = run("different", &objects, &[]).expect_err("two ports");

    assert!(why.contains("30478 for UDP and 30479 for TCP"), "{why}");
}

#[test]
fn on_host_networks_it_is_the_node_and_the_port_of_turn() {
    if !has_kubectl() {
        return;
    }
    let node = node(&[("ExternalIP", "203.0.113.7")]);
    let objects = [(CONFIG, config()), (PODS, pods()), (NODE, node)];

    assert_eq!(run("host", &objects, &[]), Ok((patched("203.0.113.7:3478"), patch("203.0.113.7", "3478"))));
}

#[test]
fn what_is_given_goes_before_what_is_found() {
    if !has_kubectl() {
        return;
    }
    let objects = [(CONFIG, config())];
    let arguments = ["--address", "turn.example.com", "--port", "443"];

    let told = run("given", &objects, &arguments);

    assert_eq!(told, Ok((patched("turn.example.com:443"), patch("turn.example.com", "443"))));
}

#[test]
fn a_dry_run_changes_nothing() {
    if !has_kubectl() {
        return;
    }
    let (told, patches) =
        run("dry", &[(CONFIG, config())], &["--address", "192.0.2.1", "--dry-run"]).expect("a dry run");

    assert!(told.ends_with("Clients find TURN at 192.0.2.1:3478\n"), "{told}");
    assert_eq!(patches, Vec::<Value>::new());
}

#[test]
fn what_cannot_be_is_refused() {
    if !has_kubectl() {
        return;
    }
    let internal = service("ClusterIP", [0, 0], &json!([]));
    for (objects, arguments, expected) in [
        (vec![(SERVICE, internal)], &[][..], "of type ClusterIP, which nobody outside can reach"),
        (vec![], &["--address", "a\",\"b"], "this is neither an address nor a host name"),
        (vec![], &["--address", "192.0.2.1", "--port", "http"], "'http' is no port"),
        (vec![], &["--address"], "its value is missing"),
        (
            vec![(PODS, json!({"kind": "PodList", "apiVersion": "v1", "items": []}))],
            &[],
            "no replica of stunner runs",
        ),
    ] {
        let objects = [objects, vec![(CONFIG, config())]].concat();
        let why = run("refused", &objects, arguments).expect_err("a refusal");
        assert!(why.contains(expected), "{why}");
    }
}
