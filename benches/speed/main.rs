//! How fast reprov is, with a peer beside each figure: `make bench`. Ratios count, since machines differ and have other
//! things to do. `cargo bench --bench speed -- layers provenance` measures only these; the others are `builds`,
//! `diffs`, `imports`, `ledger` and `verify`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench may fail by panicking, start programs, and print"
)]

mod builds;
mod diffs;
mod imports;
mod layers;
mod ledger;
mod provenance;
mod run;
mod table;
mod verify;

/// Arguments that make this program the child whose memory is measured.
const MILLION: &str = "a-million-entries";
const BELOW: &str = "a-million-below";
/// Likewise; a directory follows.
const DIFF: &str = "compare-two-images";

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let children = [
        (MILLION, layers::a_million_entries as fn()),
        (BELOW, layers::a_million_below),
        (DIFF, diffs::compare),
    ];
    for (word, measured) in children {
        if words.iter().any(|given| given == word) {
            return measured();
        }
    }
    let wanted = |group: &str| words.is_empty() || words.iter().any(|word| word == group);
    let before = load();
    let mut rows = Vec::new();
    if wanted("builds") {
        rows.extend(builds::rows());
    }
    if wanted("layers") {
        rows.extend(layers::rows());
    }
    if wanted("diffs") {
        rows.extend(diffs::rows());
    }
    if wanted("imports") {
        rows.extend(imports::rows());
    }
    if wanted("provenance") {
        rows.push(provenance::row());
    }
    if wanted("ledger") {
        rows.extend(ledger::rows());
    }
    if wanted("verify") {
        rows.extend(verify::rows());
    }
    let cores = std::thread::available_parallelism().unwrap();
    let (rounds, after) = (run::ROUNDS, load());
    println!("{cores} cores, load {before} before, {after} after; medians of {rounds} runs in turns\n");
    println!("{}", table::Table(rows));
}

/// Processes that ran or waited in the last minute, on average: what else the machine had to do.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
