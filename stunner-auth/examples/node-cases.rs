//! The cases of the comparison with the Node library, or what this crate gives for each:
//!
//! ```text
//! cargo run -p stunner-auth --example node-cases -- inputs
//! cargo run -p stunner-auth --example node-cases -- outputs
//! ```

#[path = "../tests/node/cases.rs"]
mod cases;
#[path = "../tests/node/replay.rs"]
mod replay;

fn main() {
    let inputs = std::env::args().nth(1).is_some_and(|argument| argument == "inputs");
    let cases = cases::all();
    if inputs {
        cases.iter().for_each(|case| println!("{}", case.json()));
    } else {
        print!("{}", replay::outcomes(&cases));
    }
}
