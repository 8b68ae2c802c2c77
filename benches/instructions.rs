//! Counts the instructions of the two hottest paths of the codec with callgrind, and fails where they have grown far
//! beyond what they were: unlike times, counts do not wobble.
//!
//! ```text
//! cargo run --profile bench -p stunner-benches --bin instructions
//! ```
//!
//! Without valgrind it says so, and measures nothing.

use std::{
    hint::black_box,
    process::{Command, ExitCode},
};

use stunner_proto::{
    ChannelData, Class, Message, MessageBuilder, Method, TransactionId,
    attribute::{Lifetime, XorMappedAddress, XorRelayedAddress},
};

/// Something that is done again and again.
struct Path {
    name: &'static str,
    /// Does it so many times.
    run: fn(u32),
    /// How many instructions once may take: about twice what it took when this was written.
    limit: u64,
}

const PATHS: [Path; 2] = [
    Path { name: "parse and read three attributes", run: read, limit: 1_100 },
    Path { name: "parse ChannelData", run: channel_data, limit: 55 },
];

/// How often, besides the once that is taken off: what a process does around the path counts for nothing then.
const TIMES: u32 = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, times] = &arguments[..]
        && let Some(path) = PATHS.iter().find(|path| path.name == name)
        && let Ok(times) = times.parse()
    {
        (path.run)(times);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: instructions are not counted");
        return ExitCode::SUCCESS;
    }
    let mut grown = false;
    for Path { name, limit, .. } in PATHS {
        let count = (instructions(name, TIMES + 1) - instructions(name, 1)) / u64::from(TIMES);
        println!("{name}: {count} instructions (at most {limit})");
        grown |= count > limit;
    }
    if grown { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How many instructions this program takes for a path, by callgrind's own summary.
fn instructions(name: &str, times: u32) -> u64 {
    let this = std::env::current_exe().expect("a program knows where it is");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args([name, &times.to_string()])
        .output()
        .expect("valgrind was there a moment ago");
    let summary = String::from_utf8_lossy(&output.stderr);
    let count = summary.lines().find_map(|line| line.split_once("Collected : "));
    count.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("no count: {summary}"))
}

fn read(times: u32) {
    let address = ([192, 0, 2, 15], 50_000).into();
    let mut buffer = [0; 128];
    let len =
        MessageBuilder::new(Class::SuccessResponse, Method::ALLOCATE, TransactionId([7; 12]), &mut buffer)
            .attribute(&XorRelayedAddress(address))
            .attribute(&Lifetime(600))
            .attribute(&XorMappedAddress(address))
            .fingerprint()
            .finish()
            .expect("it fits");
    for _ in 0..times {
        let message = Message::parse(black_box(&buffer[..len])).expect("a message");
        let relayed = message.require::<XorRelayedAddress>();
        black_box((relayed, message.require::<Lifetime>(), message.require::<XorMappedAddress>())).0.ok();
    }
}

fn channel_data(times: u32) {
    let packet = [&[0x40, 0, 4, 0xB0][..], &[1; 1200]].concat();
    for _ in 0..times {
        black_box(ChannelData::parse(black_box(&packet)));
    }
}
