//! A recipe from anywhere: read, or refused with words.
#![no_main]

use std::error::Error as _;

use libfuzzer_sys::fuzz_target;
use reprov::recipe::Recipe;

fuzz_target!(|text: &str| {
    if let Err(error) = Recipe::parse(text) {
        let cause = error.source().map(ToString::to_string);
        assert!(!format!("{error}{}", cause.unwrap_or_default()).is_empty());
    }
});
