//! Every seed, and thousands of inputs made of the seeds, through every target: what fuzzing finds, stable Rust replays.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// A target: its name, what takes the bytes, and how many inputs are made for it.
type Target = (&'static str, fn(&[u8]), usize);

const TARGETS: [Target; 8] = [
    ("message", stunner_fuzz::message, 10_000),
    ("builder", stunner_fuzz::builder, 10_000),
    ("framing", stunner_fuzz::framing, 10_000),
    ("differential", stunner_fuzz::differential, 10_000),
    ("uri", stunner_fuzz::uri, 10_000),
    ("server", stunner_fuzz::server, 10_000),
    ("sequence", stunner_fuzz::sequence, 1_000),
    ("config", stunner_fuzz::config, 10_000),
];

/// The published vectors, and files of the corpus directories.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let lines = include_str!("../../stunner-proto/tests/vectors.txt").lines();
    let hex = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').nth(2));
    let bytes = |hex: &str| {
        (0..hex.len()).step_by(2).filter_map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
    };
    let mut seeds: Vec<Vec<u8>> = hex.map(bytes).collect();
    let texts = include_str!("../seeds/uri.txt").lines();
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        seeds.push(std::fs::read(entry.path()).expect("a seed"));
    }
    seeds
}

#[test]
fn seeds_and_what_is_made_of_them_pass_every_target() {
    for (name, target, made) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() > 40, "{name}");
        seeds.iter().for_each(|seed| target(seed));
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..made {
            let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..=bytes.len());
                match rng.random_range(0..4) {
                    0 if at < bytes.len() => bytes[at] = rng.random(),
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, rng.random()),
                    _ => bytes.extend(&seeds[rng.random_range(0..seeds.len())]),
                }
            }
            target(&bytes);
        }
    }
}
