//! The functions of the Node library, against what the library itself gave.
//!
//! `recorded.txt` holds its outputs for the cases that [`cases`] lists. To record again, with the package installed:
//!
//! ```text
//! cargo run --example node-cases -- inputs | (cd stunner-auth && node tests/node/run.js PACKAGE) > recorded.txt
//! ```
#![cfg(feature = "config")]

mod cases;
mod replay;

/// How many cases there must be.
const ENOUGH: usize = 300;

#[test]
fn every_case_gives_what_the_node_library_gave() {
    let cases = cases::all();
    let outputs = replay::outcomes(&cases);
    let recorded = include_str!("recorded.txt");

    assert!(cases.len() >= ENOUGH);
    for (line, (ours, theirs)) in outputs.lines().zip(recorded.lines()).enumerate() {
        let number: Option<usize> = ours.split(' ').next().and_then(|number| number.parse().ok());
        let case = number.map(|number| cases[number - 1].json());
        assert_eq!(ours, theirs, "line {} of recorded.txt, {case:?}", line + 1);
    }
    assert_eq!(outputs.len(), recorded.len());
    println!("{} cases give what the Node library gave", cases.len());
}

#[test]
fn every_pair_of_values_is_in_some_case() {
    let choices = [vec![0, 1, 2], vec![0, 1], vec![1, 2, 3, 4], vec![0, 5]];
    let rows = cases::pairwise(&choices);

    for (second, others) in choices.iter().enumerate() {
        for (first, ones) in choices.iter().enumerate().take(second) {
            for (one, other) in ones.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
                assert!(rows.iter().any(|row| row[first] == *one && row[second] == *other));
            }
        }
    }
    assert!(rows.len() < 3 * 2 * 4 * 2);
}
