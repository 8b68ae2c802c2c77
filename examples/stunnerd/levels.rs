//! What is logged, in STUNner's words or in tracing's.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// A filter, and names in it that stand for nothing here.
#[derive(Debug)]
pub(crate) struct Levels {
    pub(crate) targets: Targets,
    pub(crate) unknown: Vec<String>,
}

/// What every filter begins with.
const DEFAULT: LevelFilter = LevelFilter::INFO;

impl Levels {
    /// Reads `all:INFO,turn:DEBUG`, or `info,stunner_relay=debug`, or both mixed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut levels = Self { targets: Targets::new().with_default(DEFAULT), unknown: Vec::new() };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            levels.add(item).ok_or_else(|| {
                format!("expected levels such as all:INFO,turn:DEBUG or stunner_relay=debug, found {item:?}")
            })?;
        }
        Ok(levels)
    }

    fn add(&mut self, item: &str) -> Option<()> {
        let targets = std::mem::take(&mut self.targets);
        self.targets = match (item.split_once('='), item.rsplit_once(':')) {
            (Some((target, level)), _) => targets.with_target(target, self::level(level)?),
            (None, None) => targets.with_default(self::level(item)?),
            (None, Some((scope, level))) => {
                let level = self::level(level)?;
                match scope {
                    "all" => targets.with_default(level),
                    "turn" => targets.with_target("stunner_relay", level),
                    "stunner" | "stunnerd" => targets.with_target("stunnerd", level),
                    _ => {
                        self.unknown.push(scope.to_owned());
                        targets
                    }
                }
            }
        };
        Some(())
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    match text.to_ascii_uppercase().as_str() {
        "DISABLE" | "OFF" => Some(LevelFilter::OFF),
        "ERROR" => Some(LevelFilter::ERROR),
        "WARN" => Some(LevelFilter::WARN),
        "INFO" => Some(LevelFilter::INFO),
        "DEBUG" => Some(LevelFilter::DEBUG),
        "TRACE" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// The levels of the server, of this program and of everything else.
    fn levels(text: &str) -> [Option<Level>; 3] {
        let targets = Levels::parse(text).expect(text).targets;
        ["stunner_relay::net::worker", "stunnerd::server", "other"].map(|target| {
            [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
                .into_iter()
                .find(|level| targets.would_enable(target, level))
        })
    }

    #[test]
    fn levels_are_read_in_both_forms() {
        let [error, warn, info, debug, trace] =
            [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE].map(Some);
        for (text, expected) in [
            ("", [info, info, info]),
            ("all:WARN", [warn, warn, warn]),
            ("all:ERROR,turn:DEBUG", [debug, error, error]),
            ("turn:disable, stunnerd:trace", [None, trace, info]),
            ("stunner:DEBUG", [info, debug, info]),
            ("debug", [debug, debug, debug]),
            ("warn,stunner_relay=debug", [debug, warn, warn]),
            ("stunner_relay::net=off,all:INFO", [None, info, info]),
        ] {
            assert_eq!(levels(text), expected, "{text}");
        }
    }

    #[test]
    fn names_that_stand_for_nothing_are_told() {
        let levels = Levels::parse("all:INFO,listener-default/udp:TRACE,cds-client:WARN").unwrap();
        assert_eq!(levels.unknown, ["listener-default/udp", "cds-client"]);
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for text in ["all", "all:", "all:LOUD", "turn=", "stunner_relay::net", "all:INFO,loud", "all:5"] {
            let error = Levels::parse(text).expect_err(text);
            assert!(error.contains("all:INFO,turn:DEBUG"), "{error}");
        }
    }
}
