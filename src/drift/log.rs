//! What steps that drift said otherwise in two builds.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read as _},
};

use serde::Serialize;

use super::{
    excerpt::{self, Excerpt},
    view::InstructionRef,
};
use crate::{
    engine::{LogLine, read_line},
    model::limits::EVENT_SIZE_BYTES_MAX,
    transcript::Event,
};

/// Most bytes of one step's output that are compared; what comes after is not looked at.
const OUTPUT_SIZE_BYTES_MAX: usize = 256 << 10;

/// The output of a step, where it differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogDrift {
    /// The step.
    pub instruction: InstructionRef,
    /// Lines of both outputs.
    pub excerpt: Excerpt,
}

/// The steps, by line of the Dockerfile, whose output differs between the events of two builds.
///
/// # Errors
/// Those of reading.
pub fn logs(
    a: impl BufRead,
    b: impl BufRead,
    steps: &BTreeMap<u32, InstructionRef>,
) -> io::Result<Vec<LogDrift>> {
    let (a, b) = (outputs(a, steps)?, outputs(b, steps)?);
    let differs = |(line, instruction): (&u32, &InstructionRef)| {
        let of = |all: &BTreeMap<u32, Vec<u8>>| all.get(line).cloned().unwrap_or_default();
        let (a, b) = (of(&a), of(&b));
        let instruction = instruction.clone();
        (a != b).then(|| LogDrift { instruction, excerpt: excerpt::texts(&a, &b) })
    };
    Ok(steps.iter().filter_map(differs).collect())
}

/// What each of `steps` said, without the engine's own lines.
fn outputs(
    mut events: impl BufRead,
    steps: &BTreeMap<u32, InstructionRef>,
) -> io::Result<BTreeMap<u32, Vec<u8>>> {
    let mut outputs: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if events.by_ref().take(EVENT_SIZE_BYTES_MAX as u64).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(outputs);
        }
        let Ok(event) = Event::parse(&bytes) else { continue }; // A later release's, or the rest of one too long.
        let (Some(text), Some(line)) = (event.text, event.line) else { continue };
        let own = matches!(read_line(&text), LogLine::Output(_));
        if own && event.kind == "output" && steps.contains_key(&line) {
            let output = outputs.entry(line).or_default();
            if output.len() + text.len() < OUTPUT_SIZE_BYTES_MAX {
                output.extend_from_slice(text.as_bytes());
                output.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(lines: &[(u32, &str)]) -> Vec<u8> {
        let event = |(line, text): &(u32, &str)| {
            let event = Event::output("2026-11-24T21:15:12Z".to_owned(), text.as_bytes());
            Event { line: Some(*line), ..event }.to_line()
        };
        lines.iter().flat_map(event).collect()
    }

    #[test]
    fn only_steps_that_drift_and_what_they_said() {
        let steps = [(3, "RUN a"), (4, "RUN b"), (5, "RUN c")];
        let steps =
            steps.map(|(line, text)| (line, InstructionRef { line: Some(line), text: text.into() })).into();
        let a = events(&[(2, "x"), (3, "one"), (3, "two"), (4, "same"), (4, "--> 035a7dc4951"), (5, "")]);
        let b = [
            &b"not an event\n"[..],
            &events(&[(2, "y"), (3, "one"), (3, "2"), (4, "same"), (4, "--> 135a7dc4951"), (5, "\x1b[2J")]),
        ];
        let found = logs(&a[..], &b.concat()[..], &steps).unwrap();
        let shown: Vec<_> = found.iter().map(|log| log.instruction.line).collect();
        assert_eq!(shown, [Some(3), Some(5)]);
        let Excerpt::Text { hunks, more: false } = &found[0].excerpt else { panic!("{found:#?}") };
        let row = &hunks[0].rows[1];
        assert_eq!(
            (row.a.as_ref().unwrap().text.as_str(), row.b.as_ref().unwrap().text.as_str()),
            ("two", "2")
        );
        assert!(logs(&a[..], &a[..], &steps).unwrap().is_empty());
        let much: Vec<_> = (0..1 << 16).map(|_| (3, "0123456789")).collect();
        assert_eq!(logs(&events(&much)[..], &b""[..], &steps).unwrap().len(), 1);
    }
}
