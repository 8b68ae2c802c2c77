//! What was found: a line for each step as it ends, and the advice at the end.

use std::net::SocketAddr;

use serde::Serialize;

use crate::now;

/// What came of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    /// It works, but not for everybody.
    Warning,
    Failed,
    /// It says nothing here.
    Skipped,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

/// What a step found, and what to do where that is not all well.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    pub(crate) text: String,
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self { status: Status::Ok, text: text.into(), advice: None }
    }

    pub(crate) fn warning(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Status::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    pub(crate) fn failed(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Status::Failed, text: text.into(), advice: Some(advice.into()) }
    }

    pub(crate) fn skipped(text: impl Into<String>) -> Self {
        Self { status: Status::Skipped, text: text.into(), advice: None }
    }
}

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    /// Which of the server's addresses it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<SocketAddr>,
    status: Status,
    milliseconds: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct Whole<'a> {
    uri: &'a str,
    ok: bool,
    steps: &'a [Step],
    advice: Vec<&'a str>,
}

/// All steps so far.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    server: Option<SocketAddr>,
    steps: Vec<Step>,
}

impl Report {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, server: None, steps: Vec::new() }
    }

    /// Steps from now on are about this address of the server's.
    pub(crate) fn turn_to(&mut self, server: SocketAddr) {
        if !self.json {
            println!("{server}");
        }
        self.server = Some(server);
    }

    /// Takes the time of a step. `Err` is what it found where nothing after it makes sense.
    pub(crate) async fn step<T>(
        &mut self,
        step: &'static str,
        work: impl Future<Output = Result<(T, Finding), Finding>>,
    ) -> Option<T> {
        let start = now();
        let (value, finding) = match work.await {
            Ok((value, finding)) => (Some(value), finding),
            Err(finding) => (None, finding),
        };
        let Finding { status, text, advice } = finding;
        let milliseconds = (start.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        if !self.json {
            println!("  {step:<12} {:<8} {milliseconds:>8.1} ms  {text}", status.name());
        }
        self.steps.push(Step { step, server: self.server, status, milliseconds, text, advice });
        value
    }

    /// A step that takes no time.
    pub(crate) async fn note(&mut self, step: &'static str, finding: Finding) {
        self.step(step, async { Ok(((), finding)) }).await;
    }

    /// Whether nothing failed, and something was looked at.
    pub(crate) fn is_good(&self) -> bool {
        self.steps.iter().any(|step| step.status == Status::Ok)
            && self.steps.iter().all(|step| step.status != Status::Failed)
    }

    /// What to do, failures first, each once.
    fn advice(&self) -> Vec<&str> {
        let mut all = Vec::new();
        for status in [Status::Failed, Status::Warning] {
            for advice in self
                .steps
                .iter()
                .filter(|step| step.status == status)
                .filter_map(|step| step.advice.as_deref())
            {
                if !all.contains(&advice) {
                    all.push(advice);
                }
            }
        }
        all
    }

    /// Prints the end.
    pub(crate) fn finish(&self, uri: &str) {
        let advice = self.advice();
        if self.json {
            let whole = Whole { uri, ok: self.is_good(), steps: &self.steps, advice };
            // Strings and numbers always have a JSON form.
            println!("{}", serde_json::to_string_pretty(&whole).unwrap_or_default());
            return;
        }
        let verdict = if self.is_good() { "A browser gets a relay candidate here." } else { "What to do:" };
        println!("\n{verdict}");
        for advice in advice {
            println!("* {advice}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_failure_is_a_failure_and_its_advice_comes_first() {
        let mut report = Report::new(true);
        report.note("a", Finding::ok("fine")).await;
        report.note("b", Finding::warning("odd", "look at it")).await;
        assert!(report.is_good());

        report.note("c", Finding::failed("broken", "mend it")).await;
        report.note("d", Finding::failed("broken again", "mend it")).await;

        assert!(!report.is_good());
        assert_eq!(report.advice(), ["mend it", "look at it"]);
    }

    #[tokio::test]
    async fn nothing_but_skipped_steps_is_not_good() {
        let mut report = Report::new(true);
        report.note("a", Finding::skipped("no IPv6")).await;
        assert!(!report.is_good());
    }
}
