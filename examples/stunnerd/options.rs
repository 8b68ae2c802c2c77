//! What can be set on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Parser};

/// A TURN server that is told what to do as STUNner's stunnerd is: by its configuration file, or by TURN URIs.
#[derive(Debug, Parser)]
#[command(name = "stunnerd", version, after_long_help = HELP)]
#[command(group(ArgGroup::new("source").required(true).args(["uris", "config"])))]
pub(crate) struct Options {
    /// What to serve, instead of a configuration file (repeatable): turn://USER:PASSWORD@ADDRESS:PORT?transport=udp
    #[arg(value_name = "URI")]
    pub(crate) uris: Vec<String>,
    /// The configuration file: JSON or YAML, of every generation since v0.9
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What is logged, before what the file says: all:INFO,turn:DEBUG, or stunner_relay=debug
    #[arg(short, long, value_name = "LEVELS", conflicts_with = "verbose")]
    pub(crate) log: Option<String>,
    /// The same as --log all:DEBUG
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// How many threads relay; 0 is one [default: one for each core]
    #[arg(short, long = "udp-thread-num", value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub(crate) udp_thread_num: Option<u16>,
    /// Receive and send for relayed transport addresses by epoll, and not by io_uring, which is what Linux 6.1 or later does
    /// where the container allows it
    #[arg(long)]
    pub(crate) no_io_uring: bool,
    /// How many seconds calls may go on once the program was asked to end
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) grace: u64,
    /// Read the configuration, say all that is wrong with it, and start nothing
    #[arg(long)]
    pub(crate) check_config: bool,
}

impl Options {
    /// The levels that were asked for here.
    pub(crate) fn levels(&self) -> Option<&str> {
        if self.verbose { Some("all:DEBUG") } else { self.log.as_deref() }
    }
}

const HELP: &str = "\
Configuration:
  Listeners over UDP and TCP, authentication static (plaintext), ephemeral (longterm) or none (STUN only), clusters of
  type STATIC, user_quota, relay ports and realm are served. What is not (TLS, DTLS, STRICT_DNS, peers over TCP, metrics,
  health, offload to the kernel) is refused with its path. $NAME and ${NAME} in the file stand for environment variables.

  Listeners accept clients on every address of this machine, IPv4 and IPv6. A listener's address is the one that relayed
  transport addresses have; if this machine does not have it, it is taken for the address of a NAT before it. Its
  public_address is where clients find it, and is only told in the log.

  Clients reach what the routes of their listener list, and nothing else. A wide range such as 0.0.0.0/0 opens public and
  private addresses, and none of loopback, link-local and other special ones: these open for a range that lies inside the
  special one, such as 127.0.0.1.

TURN URIs:
  A user and what to listen on; all of them have the same user. Clients reach every peer. The password can be seen in the
  list of processes: a file is better.

Log levels:
  DISABLE, ERROR, WARN, INFO, DEBUG or TRACE for all, turn (the server) and stunnerd (this program); or as tracing writes
  them: debug, stunner_relay=debug.

Signals:
  SIGTERM and SIGINT (Ctrl-C) end the program: new allocations are refused, and it waits for those there are, for --grace
  seconds at most. A second signal ends it at once.

Exit status:
  0  it was asked to end; or, with --check-config, the configuration is good
  1  the configuration is not, or the server cannot start
  2  the command line is wrong

Examples:
  stunnerd turn://user:pass@0.0.0.0:3478?transport=udp turn://user:pass@0.0.0.0:3478?transport=tcp
  stunnerd -c stunnerd.yaml --check-config
  stunnerd -c stunnerd.yaml -l all:INFO,turn:DEBUG -u 4";

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("stunnerd").chain(arguments.iter().copied()))
    }

    #[test]
    fn options_are_written_as_for_stunnerd() {
        let options = options(&["-c", "stunnerd.conf", "-l", "all:WARN", "-u", "16"]).unwrap();

        assert_eq!(options.config, Some(PathBuf::from("stunnerd.conf")));
        assert_eq!((options.levels(), options.udp_thread_num), (Some("all:WARN"), Some(16)));
        assert_eq!((options.grace, options.check_config, options.no_io_uring), (3600, false, false));
    }

    #[test]
    fn verbose_is_a_level() {
        assert_eq!(options(&["-v", "turn://u:p@0.0.0.0"]).unwrap().levels(), Some("all:DEBUG"));
        assert_eq!(options(&["turn://u:p@0.0.0.0"]).unwrap().levels(), None);
    }

    #[test]
    fn a_file_or_uris_must_be_there_and_not_both() {
        for arguments in [
            &[][..],
            &["--check-config"],
            &["-c", "file", "turn://u:p@0.0.0.0"],
            &["-c", "file", "-v", "-l", "all:INFO"],
            &["-c", "file", "-u", "-1"],
            &["-c", "file", "--watch"],
        ] {
            assert!(options(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn help_explains_what_options_alone_do_not() {
        let help = options(&["--help"]).unwrap_err().to_string();

        for word in ["check-config", "STRICT_DNS", "0.0.0.0/0", "SIGTERM", "DISABLE", "Exit status"] {
            assert!(help.contains(word), "{word}");
        }
    }
}
