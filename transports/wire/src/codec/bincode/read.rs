//! Reading bincode: its primitives with the protocol's bounds, and the members that more than one frame has.
//!
//! Strings and byte strings are slices of the message until they are known to be within their bounds; a length that
//! lies therefore costs nothing. Bytes that follow the last known member are left alone.

use ::bincode::{
    BorrowDecode, Decode,
    config::{Configuration, Limit, LittleEndian, Varint, standard},
    de::{DecoderImpl, read::SliceReader},
    error::DecodeError as Refused,
};
use ::bytes::Bytes;

use super::layout::payload;
use crate::{
    ChannelName, DecodeError, Epoch, ErrorCode, Json, MAX_INTEGER, Meta, Offset, Payload, Position,
    Positions, Sender, SessionId, Token, bounds, frame::TransportOffer,
};

/// The largest frame that is ever read, whatever the caller allows.
pub(super) const MAX_FRAME_BYTES: usize = 1 << 26;

/// bincode counts each integer as eight bytes, however short it was; twice that leaves room for none to be refused.
type Bounded = Configuration<LittleEndian, Varint, Limit<{ 16 * MAX_FRAME_BYTES }>>;

/// What reading yields.
pub(super) type Read<T> = Result<T, DecodeError>;

/// A walk over a message, a frame, or an item or command in one.
pub(super) struct Reader<'a> {
    decoder: DecoderImpl<SliceReader<'a>, Bounded, ()>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: DecoderImpl::new(SliceReader::new(bytes), standard().with_limit(), ()) }
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        u8::decode(&mut self.decoder).map_err(refusal)
    }

    pub(super) fn integer(&mut self) -> Read<u64> {
        let value = u64::decode(&mut self.decoder).map_err(refusal)?;
        // G5: no integer above 2^53 - 1, in any codec.
        if value > MAX_INTEGER { Err(ErrorCode::NumberOutOfRange.into()) } else { Ok(value) }
    }

    /// An integer for something that means the same from 2^32 - 1 on.
    pub(super) fn small_integer(&mut self) -> Read<u32> {
        Ok(u32::try_from(self.integer()?).unwrap_or(u32::MAX))
    }

    pub(super) fn flag(&mut self) -> Read<bool> {
        bool::decode(&mut self.decoder).map_err(refusal)
    }

    /// A length and so many bytes, which are there.
    pub(super) fn slice(&mut self) -> Read<&'a [u8]> {
        <&[u8]>::borrow_decode(&mut self.decoder).map_err(refusal)
    }

    pub(super) fn string(&mut self) -> Read<&'a str> {
        <&str>::borrow_decode(&mut self.decoder).map_err(refusal)
    }

    pub(super) fn text(&mut self, max_bytes: usize) -> Read<Box<str>> {
        let text = self.string()?;
        if text.len() > max_bytes {
            return Err(DecodeError::new(
                ErrorCode::MessageTooLarge,
                "a string is longer than its member may be",
            ));
        }
        Ok(text.into())
    }

    /// A byte that says whether a member is there, and the member.
    pub(super) fn option<T>(&mut self, member: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        if self.flag()? { member(self).map(Some) } else { Ok(None) }
    }

    /// A count and so many elements. Keeps no room for elements that may not be there.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut element: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let count = self.integer()?;
        if count > max as u64 {
            return Err(DecodeError::new(ErrorCode::MessageTooLarge, "a list is longer than it may be"));
        }
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    pub(super) fn channel(&mut self) -> Read<ChannelName> {
        Ok(ChannelName::parse(self.string()?)?)
    }

    pub(super) fn token(&mut self) -> Read<Token> {
        self.text(Token::MAX_BYTES).map(Token::new)
    }

    pub(super) fn session(&mut self) -> Read<SessionId> {
        <[u8; 16]>::decode(&mut self.decoder).map(SessionId::from_random).map_err(refusal)
    }

    pub(super) fn offset(&mut self) -> Read<Offset> {
        let value = self.integer()?;
        Offset::new(value).ok_or_else(|| ErrorCode::NumberOutOfRange.into())
    }

    pub(super) fn position(&mut self) -> Read<Position> {
        Ok(Position { epoch: Epoch::parse(self.string()?)?, offset: self.offset()? })
    }

    pub(super) fn positions(&mut self, max: usize) -> Read<Positions> {
        let mut positions = Positions::new();
        for (channel, position) in self.list(max, |r| Ok((r.channel()?, r.position()?)))? {
            if positions.insert(channel, position).is_some() {
                return Err(ErrorCode::DuplicateMember.into());
            }
        }
        Ok(positions)
    }

    pub(super) fn meta(&mut self) -> Read<Meta> {
        let count = self.integer()?;
        if count > Meta::MAX_NAMES as u64 {
            return Err(ErrorCode::InvalidMeta.into());
        }
        let mut entries: Vec<(&str, &str)> = Vec::new();
        for _ in 0..count {
            let (name, value) = (self.string()?, self.string()?);
            if entries.iter().any(|(other, _)| *other == name) {
                return Err(ErrorCode::DuplicateMember.into());
            }
            entries.push((name, value));
        }
        Ok(Meta::new(entries)?)
    }

    pub(super) fn sender(&mut self) -> Read<Sender> {
        Ok(Sender { user: self.option(|r| r.text(bounds::USER_BYTES))?, session: self.session()? })
    }

    pub(super) fn features(&mut self) -> Read<Vec<Box<str>>> {
        self.list(bounds::FEATURES, |r| r.text(bounds::FEATURE_BYTES))
    }

    pub(super) fn transports(&mut self) -> Read<Vec<TransportOffer>> {
        self.list(bounds::TRANSPORTS, |r| {
            Ok(TransportOffer {
                name: r.text(bounds::TRANSPORT_NAME_BYTES)?,
                url: r.option(|r| r.text(bounds::URL_BYTES))?,
                certificate_hashes: r
                    .list(bounds::CERTIFICATE_HASHES, |r| r.text(bounds::CERTIFICATE_HASH_BYTES))?,
            })
        })
    }

    pub(super) fn payload(&mut self) -> Read<Payload> {
        match self.byte()? {
            payload::EMPTY => Ok(Payload::Empty),
            payload::JSON => Ok(Payload::Json(Json::parse(self.slice()?)?)),
            payload::BYTES => Ok(Payload::Bytes(Bytes::copy_from_slice(self.slice()?))),
            _ => Err(DecodeError::new(ErrorCode::MalformedPayload, "a payload is empty, JSON or bytes")),
        }
    }
}

/// The length that a message begins with, and how many bytes it takes.
pub(super) fn length(message: &[u8]) -> Read<(usize, usize)> {
    let config: Bounded = standard().with_limit();
    let (length, bytes) = ::bincode::decode_from_slice::<u64, _>(message, config).map_err(refusal)?;
    Ok((usize::try_from(length).unwrap_or(usize::MAX), bytes))
}

/// bincode's refusals by the protocol's names. What is beyond the limit is beyond the frame, too.
fn refusal(refused: Refused) -> DecodeError {
    match refused {
        Refused::Utf8 { .. } => ErrorCode::NotUtf8.into(),
        Refused::UnexpectedEnd { .. } | Refused::LimitExceeded => malformed("it ends too early"),
        Refused::InvalidBooleanValue(_) => malformed("a flag is 0 or 1"),
        Refused::InvalidIntegerType { .. } => malformed("an integer has at most 64 bits"),
        _ => malformed(ErrorCode::MalformedFrame.message()),
    }
}

/// A breach of the layout.
pub(super) fn malformed(what: &'static str) -> DecodeError {
    DecodeError::new(ErrorCode::MalformedFrame, what)
}
