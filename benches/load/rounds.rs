//! One scenario measured again and again: medians, and how far the rounds are apart.

use std::io;

use serde::Serialize;

use super::{Measured, Options, Process, Scenario, measure};

/// All rounds of one server in one scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rounds {
    /// Medians of the rounds; packets are counted over all of them, and loss is of all packets.
    pub(crate) median: Measured,
    /// The cost of the dearest round less that of the cheapest, in percent of the median.
    pub(crate) spread: f64,
    rounds: Vec<Measured>,
}

/// Measures servers in turns, each time a new process. Drops the first round if there are several.
pub(crate) fn in_turns(
    scenario: &Scenario,
    options: &Options,
    rounds: u16,
    servers: &[(&str, &dyn Fn() -> io::Result<Process>)],
) -> io::Result<Vec<Rounds>> {
    eprintln!("{}: {}", scenario.name, scenario.what);
    let dropped = u16::from(rounds > 1);
    let mut all = vec![Vec::new(); servers.len()];
    for round in 0..rounds + dropped {
        for ((name, start), measured) in servers.iter().zip(&mut all) {
            let now = start().and_then(|server| measure(scenario, &server, options));
            let now = now.map_err(|error| io::Error::other(format!("{}, {name}: {error}", scenario.name)))?;
            let counted = round + 1 - dropped;
            let counts = if counted == 0 { "warm-up".to_owned() } else { format!("round {counted}") };
            eprintln!("  {counts}, {name}: {}", now.line(scenario.unit()));
            if round >= dropped {
                measured.push(now);
            }
        }
    }
    Ok(all.into_iter().map(Rounds::new).collect())
}

impl Rounds {
    fn new(rounds: Vec<Measured>) -> Self {
        let sorted = |figure: fn(&Measured) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures
        };
        let median = |figure| middle(&sorted(figure));
        let sum = |count: fn(&Measured) -> u64| rounds.iter().map(count).sum();
        let (offered, delivered) = (sum(|round| round.offered), sum(|round| round.delivered));
        let median = Measured {
            cost: median(|round| round.cost),
            user: median(|round| round.user),
            system: median(|round| round.system),
            offered,
            delivered,
            wrong: sum(|round| round.wrong),
            asked_per_second: median(|round| round.asked_per_second),
            offered_per_second: median(|round| round.offered_per_second),
            delivered_per_second: median(|round| round.delivered_per_second),
            loss: Measured::loss(offered, delivered),
            p50: median(|round| round.p50),
            p99: median(|round| round.p99),
        };
        let costs = sorted(|round| round.cost);
        let apart = costs.last().zip(costs.first()).map_or(0.0, |(dearest, cheapest)| dearest - cheapest);
        Self { spread: 100.0 * apart / median.cost, median, rounds }
    }
}

fn middle(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}
