//! What a check found, and how it is told.

use std::{collections::BTreeMap, process::ExitCode};

use serde_json::json;

use crate::world::World;

/// What a check is: an id of the checklist, the fact, and how it is seen.
pub(crate) type Check = (&'static str, &'static str, fn(&World) -> Outcome);

/// Why a check did not pass.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// The server does something else.
    Fail { expected: String, got: String },
    /// It could not be seen here.
    Skip(String),
}

/// What a check gives, or a step of it.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// The server does something else.
pub(crate) fn fail<T>(expected: impl Into<String>, got: impl Into<String>) -> Outcome<T> {
    Err(Stop::Fail { expected: expected.into(), got: got.into() })
}

/// The check cannot be made here.
pub(crate) fn skip<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Stop::Skip(reason.into()))
}

/// A fact that must hold.
pub(crate) fn ensure(holds: bool, expected: &str, got: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { fail(expected, got) }
}

/// What all checks found.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(&'static str, &'static str, Outcome)>,
}

impl Report {
    pub(crate) fn add(&mut self, id: &'static str, what: &'static str, outcome: Outcome) {
        self.rows.push((id, what, outcome));
    }

    /// Passed, failed and skipped, of all and of each group.
    fn totals(&self) -> BTreeMap<&'static str, [usize; 3]> {
        let mut totals = BTreeMap::new();
        for (id, _, outcome) in &self.rows {
            let place = match outcome {
                Ok(()) => 0,
                Err(Stop::Fail { .. }) => 1,
                Err(Stop::Skip(_)) => 2,
            };
            for group in [group(id), "all"] {
                totals.entry(group).or_insert([0; 3])[place] += 1;
            }
        }
        totals
    }

    pub(crate) fn print(&self) {
        for (id, what, outcome) in &self.rows {
            match outcome {
                Ok(()) => println!("{id:<7} pass  {what}"),
                Err(Stop::Fail { expected, got }) => {
                    println!("{id:<7} FAIL  {what}: expected {expected}, got {got}");
                }
                Err(Stop::Skip(reason)) => println!("{id:<7} skip  {what}: {reason}"),
            }
        }
        println!("\n{:<7} {:>5} {:>5} {:>5}", "group", "pass", "fail", "skip");
        for (group, [passed, failed, skipped]) in self.totals() {
            println!("{group:<7} {passed:>5} {failed:>5} {skipped:>5}");
        }
    }

    pub(crate) fn print_json(&self) {
        let rows = self.rows.iter().map(|(id, what, outcome)| match outcome {
            Ok(()) => json!({ "id": id, "what": what, "result": "pass" }),
            Err(Stop::Fail { expected, got }) => {
                json!({ "id": id, "what": what, "result": "fail", "expected": expected, "got": got })
            }
            Err(Stop::Skip(reason)) => json!({ "id": id, "what": what, "result": "skip", "reason": reason }),
        });
        for row in rows {
            println!("{row}");
        }
        for (group, [passed, failed, skipped]) in self.totals() {
            println!("{}", json!({ "group": group, "pass": passed, "fail": failed, "skip": skipped }));
        }
    }

    /// Failure when one check failed, or none passed.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.totals().get("all") {
            Some(&[passed, 0, _]) if passed > 0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// The letters that an id begins with.
pub(crate) fn group(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_run() {
        let mut report = Report::default();
        report.add("BAS-01", "", Ok(()));
        let good = report.exit_code();
        report.add("BAS-02", "", fail("this", "that"));

        assert_eq!(format!("{good:?}"), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(format!("{:?}", report.exit_code()), format!("{:?}", ExitCode::FAILURE));
    }

    #[test]
    fn a_run_that_only_skips_has_not_passed() {
        let mut report = Report::default();
        report.add("BAS-01", "", skip("no server"));

        assert_eq!(report.totals()["BAS"], [0, 0, 1]);
        assert_eq!(format!("{:?}", report.exit_code()), format!("{:?}", ExitCode::FAILURE));
    }
}
