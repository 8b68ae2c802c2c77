//! The tables of the documents.

use std::collections::BTreeMap;

use crate::source::is_id;

/// A row of the checklist.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    /// M, S, O or D.
    pub(crate) level: &'a str,
    /// Why no test proves it; empty where one does.
    pub(crate) reason: &'a str,
}

/// A row of the map of clauses.
pub(crate) struct Clause<'a> {
    pub(crate) clause: &'a str,
    /// Files, functions and types.
    pub(crate) code: Vec<&'a str>,
    /// Names of tests, or how they begin.
    pub(crate) tests: Vec<&'a str>,
}

/// The cells of a line; `None` where it is no row of a table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The rows of the checklist, which begin with an id.
///
/// # Errors
/// The first row that has an id, and not four cells and a level.
pub(crate) fn rows(text: &str) -> Result<Vec<Row<'_>>, String> {
    let mut found = Vec::new();
    for line in text.lines() {
        match cells(line).as_deref() {
            Some(&[id, level @ ("M" | "S" | "O" | "D"), _, reason]) if is_id(id) => {
                found.push(Row { id, level, reason });
            }
            Some([id, ..]) if is_id(id) => return Err(format!("this is no row: {line}")),
            _ => {}
        }
    }
    Ok(found)
}

/// How many rows there are of each level, and how many of them are proven.
pub(crate) fn totals<'a>(rows: &[Row<'a>]) -> BTreeMap<&'a str, (usize, usize)> {
    let mut found = BTreeMap::new();
    for row in rows {
        let (all, proven) = found.entry(row.level).or_insert((0, 0));
        *all += 1;
        *proven += usize::from(row.reason.is_empty());
    }
    found
}

/// The rows of the map of clauses, without its head.
///
/// # Errors
/// The first row that has not three cells, or names no test.
pub(crate) fn clauses(text: &str) -> Result<Vec<Clause<'_>>, String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(cells) = cells(line) else { continue };
        match cells[..] {
            ["clause", ..] => {}
            [rule, ..] if rule.starts_with("---") => {}
            [clause, code, tests] if !quoted(tests).is_empty() => {
                found.push(Clause { clause, code: quoted(code), tests: quoted(tests) });
            }
            _ => return Err(format!("this is no row: {line}")),
        }
    }
    Ok(found)
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn a_row_has_an_id_a_level_a_clause_and_perhaps_a_reason() {
    let text = "# ABC-00\n| id | level | clause | why not |\n|---|---|---|---|\n| ABC-01 | M | 8489, 5 | |\n\
                | ABC-02 | S | | not yet |\n";
    let expected =
        [Row { id: "ABC-01", level: "M", reason: "" }, Row { id: "ABC-02", level: "S", reason: "not yet" }];

    let read = rows(text).unwrap();

    assert_eq!(read, expected);
    assert_eq!(totals(&read), BTreeMap::from([("M", (1, 1)), ("S", (1, 0))]));
}

#[test]
fn a_row_that_is_cut_or_has_another_level_is_an_error() {
    for text in ["| ABC-01 | M | |", "| ABC-01 | X | | |", "| ABC-01 | M | | | |"] {
        assert!(rows(text).is_err(), "{text}");
    }
}

#[test]
fn a_clause_names_code_and_tests_between_backticks() {
    let text = "| clause | code | test |\n|---|---|---|\n| 5: header | `A::b`; `c/d.rs` | `abc_01_…` to `abc_02_…` |";

    let [clause] = &clauses(text).unwrap()[..] else { panic!("one row") };

    assert_eq!((clause.clause, &clause.code[..]), ("5: header", &["A::b", "c/d.rs"][..]));
    assert_eq!(clause.tests, ["abc_01_…", "abc_02_…"]);
    assert!(clauses("| 5: header | `A::b` | |").is_err());
    assert!(clauses("| 5: header | `A::b` |").is_err());
}
