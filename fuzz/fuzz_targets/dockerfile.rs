//! A Dockerfile from anywhere: what can be read is given back byte for byte, and what the engine would get can be read
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprov::dockerfile::{BuildArgs, Dockerfile, Scope};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Dockerfile::parse(bytes) else { return };
    assert_eq!(file.source().as_bytes(), bytes);
    for instruction in &file.instructions {
        assert!(file.source().get(instruction.span.clone()).is_some());
        assert!(file.source().get(instruction.arguments_span.clone()).is_some());
    }
    let target = file.stages.len() - 1;
    let args = BuildArgs { platform: "linux/amd64".to_owned(), ..BuildArgs::default() };
    for reference in file.references(target, &args).into_iter().flatten() {
        assert!(file.source().get(reference.span).is_some());
    }
    let scope = Scope { target, args, ..Scope::default() };
    let _ = file.steps(&scope);
    let Ok(lowered) = file.lower(&scope, &[]) else { return };
    if lowered.edits.is_empty() {
        assert_eq!(lowered.text, bytes);
    }
    let again = Dockerfile::parse(&lowered.text).expect("the engine's Dockerfile can be read");
    assert_eq!(again.stages.len(), target + 1);
});
