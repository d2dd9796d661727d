//! A transcript from anywhere: there is one way to write what can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reprov::transcript::Transcript;

fuzz_target!(|bytes: &[u8]| {
    let Ok(transcript) = Transcript::parse(bytes) else { return };
    assert!(transcript.to_jsonl() == bytes, "not the canonical form");
    for exchange in transcript.exchanges() {
        let accept = exchange.vary.get("accept").map(String::as_str).unwrap_or_default();
        assert!(transcript.find(&exchange.method, &exchange.url, exchange.request, accept).is_some());
    }
});
