//! Results for people, as a table, and for programs, as JSON.

use std::{fmt, fs, io, path::Path};

use serde::Serialize;

use super::Rounds;

/// A table whose first column is text, and whose others are figures.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    /// In Markdown, so that it can be put into a document as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        for (index, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let width = width(column);
                if column == 0 { write!(f, "| {cell:<width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            writeln!(f)?;
            if index == 0 {
                write!(f, "|-{}-|", "-".repeat(width(0)))?;
                (1..columns).try_for_each(|column| write!(f, "-{}:|", "-".repeat(width(column))))?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// All figures of each row: what was measured, its unit, and the rounds.
pub(crate) fn figures(rows: &[(String, &str, &Rounds)]) -> Table {
    let head = ["", "cost", "unit", "user", "system", "spread", "offered/s", "delivered/s", "loss", "wrong"];
    let mut table = Table::new(&[&head[..], &["p50 us", "p99 us"]].concat());
    for (name, unit, rounds) in rows {
        let measured = &rounds.median;
        let mut row = vec![name.clone(), whole(measured.cost), (*unit).to_owned()];
        // Nothing is sent in some scenarios.
        if measured.asked_per_second > 0.0 {
            row.extend([measured.user, measured.system].map(whole));
            row.push(percent(rounds.spread));
            row.extend([measured.offered_per_second, measured.delivered_per_second].map(whole));
            row.extend([format!("{:.2} %", measured.loss), measured.wrong.to_string()]);
            row.extend([measured.p50, measured.p99].map(whole));
        } else {
            row.extend(["", "", &percent(rounds.spread), "", "", "", "", "", ""].map(str::to_owned));
        }
        table.row(row);
    }
    table
}

/// Rounded, thousands apart.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut spaced = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    spaced
}

fn percent(number: f64) -> String {
    format!("{number:.0} %")
}

/// Where the figures come from, without which they mean nothing.
#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    version: &'static str,
}

impl Machine {
    fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model = processors.lines().find(|line| line.starts_with("model name"));
        let processor = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Self { processor, cores, kernel, version: env!("CARGO_PKG_VERSION") }
    }
}

/// Writes results to a file, with the machine and the settings that they were measured with.
pub(crate) fn save(path: &Path, settings: &impl Serialize, results: &impl Serialize) -> io::Result<()> {
    let all = serde_json::json!({ "machine": Machine::this(), "settings": settings, "results": results });
    let text = serde_json::to_string_pretty(&all)?;
    fs::write(path, text + "\n")
        .map_err(|error| io::Error::other(format!("{} cannot be written: {error}", path.display())))
}
