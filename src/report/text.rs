//! Text shared by the answers.

use std::fmt::Write as _;

use crate::{drift::Drift, model::path::printable};

/// Bytes for people: `17 B`, `3.2 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut whole = bytes;
    let mut unit = 0;
    while whole >= 1024 * 1024 && unit + 1 < UNITS.len() {
        whole /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", whole / 1024, whole % 1024 * 10 / 1024, UNITS[unit])
}

/// How many drifts are listed for people; JSON has all.
const SHOWN_MAX: usize = 20;

/// Drifts for people: place, cause, evidence, remedy; consequences are only counted.
#[must_use]
pub fn drift_lines(drifts: &[Drift]) -> String {
    let mut out = String::new();
    let own: Vec<_> = drifts.iter().filter(|drift| drift.consequence_of.is_none()).collect();
    for drift in own.iter().take(SHOWN_MAX) {
        let place = match &drift.instruction {
            Some(instruction) => format!("line {}: {}", instruction.line, printable(&instruction.text)),
            None => format!("layer {}", drift.layer),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {place}");
        let _ = writeln!(out, "    file      {}", printable(&drift.path));
        let fields: Vec<_> = drift.fields.iter().map(|field| printable(&field.name)).collect();
        if !fields.is_empty() {
            let _ = writeln!(out, "    differs   {}", fields.join(", "));
        }
        let (cause, class) = (drift.cause.code(), drift.class.name());
        let class = if cause == class { String::new() } else { format!(" ({class})") };
        let _ = writeln!(out, "    cause     {cause}{class}");
        if !drift.evidence.is_empty() {
            let _ = writeln!(out, "    evidence  {}", printable(&drift.evidence));
        }
        let _ = writeln!(out, "    remedy    {}", drift.remedy);
    }
    if own.len() > SHOWN_MAX {
        let _ = writeln!(out, "  and {} more; --format json lists all", own.len() - SHOWN_MAX);
    }
    let folded = drifts.len() - own.len();
    if folded > 0 {
        let _ = writeln!(out, "  and {folded} consequences of these");
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes() {
        assert_eq!(super::size(17), "17 B");
        assert_eq!(super::size(1536), "1.5 KiB");
        assert_eq!(super::size(3 << 20), "3.0 MiB");
        assert_eq!(super::size(5 << 40), "5.0 TiB");
    }
}
