//! Any bytes as the gateway's message in the text codec.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_wire::Codec;

fuzz_target!(|message: &[u8]| throughline_fuzz::down(Codec::Json, message));
