//! The program under test, and what it prints.

use std::process::Command;

use serde_json::Value;

use crate::example::{binary, output};

/// What one run came to.
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stderr: String,
    json: Value,
}

/// Runs it to its end, with these credentials unless `arguments` have others.
pub(crate) fn check(uri: &str, arguments: &[&str]) -> Run {
    check_with(uri, arguments, &[])
}

/// The same in an environment.
pub(crate) fn check_with(uri: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    let own = ["--user", "user", "--password", "pass"];
    let has = |name: &str| arguments.contains(&name);
    let own = if has("--user") || has("--secret") { &[][..] } else { &own };
    let mut command = Command::new(binary("turncheck"));
    command.arg(uri).args(own).args(arguments).args(["--json"]);
    command.env_remove("SSL_CERT_FILE").envs(environment.iter().copied());
    let output = output(&mut command).expect("the program starts");
    Run {
        status: output.status.code().expect("it ended by itself"),
        stderr: String::from_utf8(output.stderr).expect("text"),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
    }
}

impl Run {
    fn entries(&self) -> &[Value] {
        self.json["steps"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The names of the steps in their order.
    pub(crate) fn steps(&self) -> Vec<&str> {
        self.entries().iter().filter_map(|step| step["step"].as_str()).collect()
    }

    /// Status and text of a step.
    pub(crate) fn step(&self, name: &str) -> (&str, &str) {
        let step = self.entries().iter().find(|step| step["step"] == name);
        let step = step.unwrap_or_else(|| panic!("no step {name}: {} {}", self.json, self.stderr));
        (step["status"].as_str().expect("a status"), step["text"].as_str().expect("a text"))
    }

    /// Asserts that all is well.
    pub(crate) fn is_good(&self) {
        assert_eq!((self.status, &self.json["ok"]), (0, &Value::Bool(true)), "{:#}", self.json);
        let statuses = self.entries().iter().map(|step| step["status"].as_str());
        assert!(statuses.clone().all(|status| matches!(status, Some("ok" | "skipped"))), "{:#}", self.json);
    }

    /// Asserts that the last step is this one and failed, that it says `text`, and that the advice at the end says
    /// `advice`.
    pub(crate) fn fails(&self, step: &str, text: &str, advice: &str) {
        assert_eq!((self.status, &self.json["ok"]), (1, &Value::Bool(false)), "{:#}", self.json);
        assert_eq!(self.steps().last(), Some(&step), "{:#}", self.json);
        let (status, said) = self.step(step);
        assert!(status == "failed" && said.contains(text), "{:#}", self.json);
        self.advises(advice);
    }

    /// Asserts that the advice at the end says something.
    pub(crate) fn advises(&self, advice: &str) {
        let all = self.json["advice"].as_array().expect("a list");
        let says = |said: &Value| said.as_str().is_some_and(|said| said.contains(advice));
        assert!(all.iter().any(says), "{advice}: {:#}", self.json);
    }
}
