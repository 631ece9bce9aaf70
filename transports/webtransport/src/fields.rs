//! A look at a section of header fields before it is decoded (RFC 9204, 4.5).
//!
//! wtransport's decoder shifts by seven bits for each byte of an integer, however many there are: past nine that is an
//! overflow, and a panic wherever those are checked. A request needs none so long, so a section with one is refused.

/// Whether the integers of a section are such that the decoder can take them. What else is wrong with it the decoder
/// finds.
pub(crate) fn are_decodable(section: &[u8]) -> bool {
    walk(section).is_some()
}

fn walk(mut rest: &[u8]) -> Option<()> {
    // How much of the dynamic table it wants, and from where.
    integer(&mut rest, 8)?;
    integer(&mut rest, 7)?;
    while let Some(first) = rest.first() {
        match first {
            0x80.. => _ = integer(&mut rest, 6)?,
            0x40.. => {
                integer(&mut rest, 4)?;
                string(&mut rest, 7)?;
            }
            0x20.. => {
                string(&mut rest, 3)?;
                string(&mut rest, 7)?;
            }
            // Of the dynamic table, which there is none of: the decoder goes no further.
            _ => break,
        }
    }
    Some(())
}

/// Takes an integer with a prefix of so many bits (RFC 9204, 4.1.1), and at most four bytes behind it.
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let prefix = (1 << bits) - 1;
    let mut value = usize::from(next(rest)?) & prefix;
    if value < prefix {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(next(rest)?);
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a string whose length has a prefix of so many bits.
fn string(rest: &mut &[u8], bits: u32) -> Option<()> {
    let length = integer(rest, bits)?;
    *rest = rest.get(length..)?;
    Some(())
}

fn next(rest: &mut &[u8]) -> Option<u8> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    Some(first)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use wtransport::proto::headers::Headers;

    use super::*;

    proptest! {
        /// Whatever is passed on is decoded or refused, and does not panic.
        #[test]
        fn the_decoder_takes_what_is_decodable(
            section in vec(prop_oneof![any::<u8>(), Just(0xff), Just(0x80), 0x20..0x38_u8], 0..40),
        ) {
            let frame = wtransport::proto::frame::Frame::new_headers(section.clone().into());
            if are_decodable(&section) {
                let _ = Headers::with_frame(&frame);
            }
        }

        #[test]
        fn what_an_encoder_says_is_decodable(fields in vec(("[a-z]{1,300}", "[ -~]{0,300}"), 0..8)) {
            let fields: Headers = fields.into_iter().collect();
            prop_assert!(are_decodable(fields.generate_frame().payload()));
        }
    }
}
