//! The lists in `docs` and the tests of the workspace say the same.
//!
//! A test begins with the ids that it proves: `lts_17_18_and_33_…` is LTS-17, LTS-18 and LTS-33, `bas_07_to_11_…` a range,
//! and `alc_39_and_sec_11_…` two groups. `docs/checklist.md` lists every id; `docs/rfc.md` leads from clauses to functions
//! and tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

#[path = "checklist/list.rs"]
mod list;
#[path = "checklist/source.rs"]
mod source;

use list::{Clause, Row, clauses, rows, totals};
use source::{Source, ids, tests};

/// Where code and tests are.
const PLACES: [&str; 5] = ["stunner-proto", "stunner-relay", "stunner-auth", "examples", "fuzz"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate is in its workspace").to_owned()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("a document")
}

/// Every file of Rust below a directory, and what is in it.
fn collect(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let path = path.strip_prefix(root()).expect("it is below the root").to_owned();
            found.push(Source { path, text });
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    PLACES.iter().for_each(|place| collect(&root().join(place), &mut found));
    found
}

/// The names of all tests, each once.
fn names(sources: &[Source]) -> BTreeSet<&str> {
    sources.iter().flat_map(|source| tests(&source.text)).collect()
}

/// Where the table and the tests differ.
fn differences<'a>(rows: &[Row<'_>], names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut proofs: BTreeMap<String, &str> = BTreeMap::new();
    for name in names {
        proofs.extend(ids(name).into_iter().map(|id| (id, name)));
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for row in rows {
        if !seen.insert(row.id) {
            found.push(format!("{} stands twice in the table", row.id));
        }
        match (row.reason.is_empty(), proofs.remove(row.id)) {
            (true, None) => found.push(format!("{} has neither a test nor a reason", row.id)),
            (false, Some(test)) => found.push(format!("{} has a reason, and yet the test {test}", row.id)),
            _ => {}
        }
    }
    let unknown = proofs.into_iter().filter(|(id, _)| !seen.contains(&**id));
    found.extend(unknown.map(|(id, test)| format!("{test} names {id}, which is not in the table")));
    found
}

/// What the clauses name and nobody can find.
fn missing(clauses: &[Clause<'_>], sources: &[Source]) -> Vec<String> {
    let names = names(sources);
    let mut found = Vec::new();
    for Clause { clause, code, tests } in clauses {
        let lost = code.iter().filter(|name| !sources.iter().any(|source| source.holds(name)));
        found.extend(lost.map(|name| format!("{clause}: there is no code {name}")));
        let lost = tests.iter().filter(|name| match name.strip_suffix('…') {
            Some(begin) => !names.iter().any(|test| begins(test, begin)),
            None => !names.contains(**name) && !sources.iter().any(|source| source.is_fuzz_target(name)),
        });
        found.extend(lost.map(|name| format!("{clause}: there is no test {name}")));
    }
    found
}

/// Whether the name of a test begins so, or proves the ids that stand there.
fn begins(test: &str, begin: &str) -> bool {
    let (wanted, proven) = (ids(begin), ids(test));
    test.starts_with(begin) || !wanted.is_empty() && wanted.iter().all(|id| proven.contains(id))
}

#[test]
fn every_id_has_a_test_or_a_reason_and_every_test_names_ids_that_there_are() {
    let table = document("checklist.md");
    let rows = rows(&table).expect("a table");
    let sources = sources();

    assert!(rows.len() > 500, "{}", rows.len());
    assert_eq!(differences(&rows, names(&sources)), [""; 0]);
}

#[test]
fn the_totals_are_those_of_the_table() {
    let table = document("checklist.md");
    let rows = rows(&table).expect("a table");

    for (level, (all, proven)) in totals(&rows) {
        let line = format!("| {level} | {all} | {proven} |");
        assert!(table.contains(&line), "docs/checklist.md lacks the line {line}");
    }
}

#[test]
fn every_clause_leads_to_code_and_tests_that_there_are() {
    let map = document("rfc.md");
    let clauses = clauses(&map).expect("a table");

    assert!(clauses.len() > 40, "{}", clauses.len());
    assert_eq!(missing(&clauses, &sources()), [""; 0]);
}

#[test]
fn what_differs_is_noticed() {
    let row = |id, reason| Row { id, level: "M", reason };
    let rows = [row("ABC-01", ""), row("ABC-02", ""), row("ABC-03", "no"), row("ABC-04", "no")];

    let found = differences(&rows, ["abc_01_it_is", "abc_03_and_05_it_is", "it_is"]);

    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("ABC-02 has neither"));
    assert!(found[1].starts_with("ABC-03 has a reason"));
    assert!(found[2].contains("names ABC-05"));
    assert_eq!(differences(&[row("ABC-01", ""), row("ABC-01", "")], ["abc_01_it_is"]).len(), 2);
}

#[test]
fn what_is_missing_is_noticed() {
    let text = "impl Server {\n    fn bind(&self) {}\n}\n#[test]\nfn abc_01_and_03_it_is() {}\n";
    let path = PathBuf::from("stunner-relay/src/server/mod.rs");
    let sources = [Source { path, text: text.to_owned() }];
    let clause = |code, tests| Clause { clause: "a clause", code: vec![code], tests: vec![tests] };
    let lost = |code, tests| missing(&[clause(code, tests)], &sources).len();

    assert_eq!(lost("Server::bind", "abc_01_…"), 0);
    assert_eq!(lost("server/mod.rs", "abc_01_and_03_it_is"), 0);
    assert_eq!(lost("bind", "abc_03_…"), 0);
    assert_eq!(lost("Server::unbind", "abc_01_…"), 1);
    assert_eq!(lost("Client::bind", "abc_02_…"), 2);
    assert_eq!(lost("server/bind.rs", "abc_01"), 2);
}
