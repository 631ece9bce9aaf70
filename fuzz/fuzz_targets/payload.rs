//! Any bytes as a payload where it enters: what is kept has no line break and is kept as it is a second time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_wire::Json;

fuzz_target!(|text: &[u8]| {
    let Ok(json) = Json::parse(text) else { return };
    assert!(!json.as_str().contains(['\r', '\n']));
    assert_eq!(Json::parse(json.as_bytes()), Ok(json));
});
