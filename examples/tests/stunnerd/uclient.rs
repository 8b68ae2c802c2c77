//! A TURN client that is not ours: coturn's `turnutils_uclient`.

use std::process::Command;

use crate::example::output;

/// Asserts that uclient sends something through the server at this port and loses nothing. Where it is not installed,
/// this says so, and fails if `CI` is set.
pub(crate) fn loses_nothing(username: &str, password: &str, port: u16, arguments: &[&str]) {
    let mut uclient = Command::new("turnutils_uclient");
    uclient.args(["-u", username, "-w", password, "-n", "50", "-m", "2", "-l", "170", "-z", "5"]);
    uclient.args(["-p", &port.to_string()]).args(arguments).arg("127.0.0.1");
    let Ok(output) = output(&mut uclient) else {
        assert!(std::env::var_os("CI").is_none(), "turnutils_uclient must be installed where CI is set");
        return eprintln!("turnutils_uclient is not installed: nothing was tested");
    };
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}");
    // The last report is of the whole run.
    let number = |before: &str| {
        let (_, rest) = log.rsplit_once(before)?;
        rest.trim_start().split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u64>().ok()
    };
    assert!(number("tot_send_msgs=").is_some_and(|sent| sent >= 100), "{log}");
    assert_eq!(number("Total lost packets"), Some(0), "{log}");
}
