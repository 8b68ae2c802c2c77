//! As much of the Kubernetes API as `public-address.sh` asks for, so that it is kubectl itself that asks.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command, Output},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

/// An API server with these objects, by path; it lives as long as the test.
pub(crate) struct ApiServer {
    directory: PathBuf,
    patches: Arc<Mutex<Vec<Value>>>,
}

impl ApiServer {
    pub(crate) fn start(name: &str, objects: &[(&str, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kubernetes-{name}-{}", process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let cluster = json!({"name": "test", "cluster": {"server": format!("http://{address}")}});
        let context = json!({"name": "test", "context": {"cluster": "test", "user": "test"}});
        let user = json!({"name": "test", "user": {}});
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [cluster], "contexts": [context], "users": [user]});
        fs::write(directory.join("config"), config.to_string()).expect("a file");
        let objects: Vec<_> =
            objects.iter().map(|(path, object)| ((*path).to_owned(), object.clone())).collect();
        let patches = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&patches);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.expect("a connection"), &objects, &seen);
            }
        });
        Self { directory, patches }
    }

    /// Runs `public-address.sh` on this cluster.
    pub(crate) fn script(&self, arguments: &[&str]) -> Output {
        let script = super::manifests::directory_of("public-address.sh");
        let config = self.directory.join("config");
        let mut command = Command::new(script);
        command.args(arguments).env("KUBECONFIG", config).env("HOME", &self.directory).env("NO_PROXY", "*");
        command.output().expect("the script starts")
    }

    /// What `stunner-config` was patched with.
    pub(crate) fn patches(&self) -> Vec<Value> {
        self.patches.lock().expect("nobody panicked").clone()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One request to a connection.
fn serve(stream: TcpStream, objects: &[(String, Value)], patches: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(&stream);
    let mut request = String::new();
    reader.read_line(&mut request).expect("a line");
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    if request.starts_with("PATCH ") {
        patches.lock().expect("nobody panicked").push(serde_json::from_slice(&body).expect("JSON"));
    }
    let (status, answer) = answer(path, objects);
    let text = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    // Who has gone away wants no answer.
    let _ = (&stream).write_all(format!("{head}{text}").as_bytes());
}

fn answer(path: &str, objects: &[(String, Value)]) -> (&'static str, Value) {
    let resource = |name: &str, kind: &str, namespaced: bool| {
        json!({"name": name, "singularName": kind.to_lowercase(), "kind": kind, "namespaced": namespaced,
            "verbs": ["get", "list", "patch"]})
    };
    let found = objects.iter().find(|(known, _)| known == path);
    match path {
        "/api" => ("200 OK", json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => ("200 OK", json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        "/api/v1" => {
            let resources = [
                resource("services", "Service", true),
                resource("configmaps", "ConfigMap", true),
                resource("pods", "Pod", true),
                resource("nodes", "Node", false),
            ];
            ("200 OK", json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}))
        }
        _ => found.map_or_else(
            || {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                    "reason": "NotFound", "message": format!("{path} not found")});
                ("404 Not Found", status)
            },
            |(_, object)| ("200 OK", object.clone()),
        ),
    }
}
