//! Any bytes as a client's message in the binary codec.
#![no_main]

use libfuzzer_sys::fuzz_target;
use throughline_wire::Codec;

fuzz_target!(|message: &[u8]| throughline_fuzz::up(Codec::Bincode, message));
