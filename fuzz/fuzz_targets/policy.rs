//! A policy from anywhere: read, or refused with words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprov::{policy::Policy, verify::Code};

fuzz_target!(|text: &str| {
    if let Err(error) = Policy::parse(text, &Code::of_policies()) {
        assert!(!error.to_string().is_empty());
    }
});
