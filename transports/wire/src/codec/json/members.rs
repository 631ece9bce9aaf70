//! Objects and lists of a frame, member by member, and the members that more than one frame has.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::scan::{Read, Reader};
use crate::{
    ChannelName, Epoch, ErrorCode, Json, Meta, Offset, Payload, Position, Positions, Sender, SessionId,
    Token, bounds, frame::TransportOffer,
};

/// How many names are compared without an allocation.
const INLINE: usize = 16;

/// An object that is being read. Remembers the names that came, because each may come once.
pub(super) struct Object<'a> {
    count: usize,
    plain: [&'a str; INLINE],
    others: Vec<Cow<'a, str>>,
}

impl<'a> Object<'a> {
    /// Enters an object of the protocol.
    pub(super) fn enter(reader: &mut Reader<'a>) -> Read<Self> {
        reader.expect(b'{', "an object is expected")?;
        Ok(Self { count: 0, plain: [""; INLINE], others: Vec::new() })
    }

    /// The name of the next member, whose value comes next; `None` where the object has ended.
    pub(super) fn next(&mut self, reader: &mut Reader<'a>) -> Read<Option<Cow<'a, str>>> {
        if self.count == 0 {
            if reader.take(b'}') {
                return Ok(None);
            }
        } else if !reader.take(b',') {
            reader.expect(b'}', "a comma or a closing brace is expected")?;
            return Ok(None);
        }
        let name = reader.string()?;
        if self.plain[..self.count.min(INLINE)].contains(&&*name) || self.others.contains(&name) {
            return Err(reader.fault(ErrorCode::DuplicateMember, ErrorCode::DuplicateMember.message()));
        }
        if self.count == bounds::MEMBERS {
            return Err(reader.fault(ErrorCode::MessageTooLarge, "an object has too many members"));
        }
        match name {
            Cow::Borrowed(name) if self.count < INLINE => self.plain[self.count] = name,
            _ => self.others.push(name.clone()),
        }
        self.count += 1;
        reader.expect(b':', "a colon is expected")?;
        Ok(Some(name))
    }
}

/// The type of the object that begins here; reads no further than it has to.
pub(super) fn peek_type<'a>(reader: &Reader<'a>) -> Read<Cow<'a, str>> {
    let mut ahead = reader.clone();
    let mut object = Object::enter(&mut ahead)?;
    while let Some(name) = object.next(&mut ahead)? {
        if name == "type" {
            return ahead.string();
        }
        ahead.skip()?;
    }
    Err(ahead.malformed("type is missing"))
}

/// Passes over an object of a type that is not known: it still has to be one.
pub(super) fn skip_object(reader: &mut Reader<'_>) -> Read<()> {
    let mut object = Object::enter(reader)?;
    while object.next(reader)?.is_some() {
        reader.skip()?;
    }
    Ok(())
}

/// A payload in the making: `data` or `bytes`, or neither.
#[derive(Default)]
pub(super) struct PayloadMembers(Option<Payload>);

impl PayloadMembers {
    pub(super) fn data(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        let text = reader.payload()?;
        self.put(reader, Payload::Json(Json::of_checked(Bytes::copy_from_slice(text.as_bytes()))))
    }

    pub(super) fn bytes(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        let text = reader.string()?;
        let bytes = STANDARD.decode(&*text).map_err(|_| {
            reader
                .fault(ErrorCode::MalformedPayload, "bytes is base64 of RFC 4648 section 4, with its padding")
        })?;
        self.put(reader, Payload::Bytes(bytes.into()))
    }

    fn put(&mut self, reader: &Reader<'_>, payload: Payload) -> Read<()> {
        match self.0.replace(payload) {
            None => Ok(()),
            Some(_) => Err(reader.fault(ErrorCode::MalformedPayload, "a payload is data or bytes, not both")),
        }
    }

    pub(super) const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn finish(self) -> Payload {
        self.0.unwrap_or_default()
    }
}

impl<'a> Reader<'a> {
    /// Takes a string of at most so many bytes.
    pub(super) fn text(&mut self, max_bytes: usize) -> Read<Box<str>> {
        let text = self.string()?;
        if text.len() > max_bytes {
            return Err(self.fault(ErrorCode::MessageTooLarge, "a string is longer than its member may be"));
        }
        Ok(text.into())
    }

    /// Takes a list of at most so many elements.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        mut element: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        self.expect(b'[', "a list is expected")?;
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(elements);
        }
        loop {
            if elements.len() == max {
                return Err(self.fault(ErrorCode::MessageTooLarge, "a list is longer than it may be"));
            }
            elements.push(element(self)?);
            if !self.take(b',') {
                self.expect(b']', "a comma or a closing bracket is expected")?;
                return Ok(elements);
            }
        }
    }

    /// Takes an integer for something that means the same from 2^32 - 1 on.
    pub(super) fn small_integer(&mut self) -> Read<u32> {
        Ok(u32::try_from(self.integer()?).unwrap_or(u32::MAX))
    }

    pub(super) fn channel(&mut self) -> Read<ChannelName> {
        let name = self.string()?;
        ChannelName::parse(&name).map_err(|code| self.fault(code, code.message()))
    }

    pub(super) fn token(&mut self) -> Read<Token> {
        self.text(Token::MAX_BYTES).map(Token::new)
    }

    pub(super) fn session(&mut self) -> Read<SessionId> {
        let text = self.string()?;
        SessionId::parse(&text)
            .ok_or_else(|| self.malformed("a session's name is 22 characters of base64url"))
    }

    pub(super) fn position(&mut self) -> Read<Position> {
        let (mut epoch, mut offset) = (None, None);
        let mut object = Object::enter(self)?;
        while let Some(name) = object.next(self)? {
            match &*name {
                "epoch" => {
                    let parsed = Epoch::parse(&self.string()?);
                    epoch = Some(parsed.map_err(|code| self.fault(code, code.message()))?);
                }
                "offset" => offset = Offset::new(self.integer()?),
                _ => self.skip()?,
            }
        }
        let (Some(epoch), Some(offset)) = (epoch, offset) else {
            return Err(self.fault(ErrorCode::InvalidPosition, ErrorCode::InvalidPosition.message()));
        };
        Ok(Position { epoch, offset })
    }

    /// Reads a map that may be long: channels are compared as they are kept, not one by one.
    pub(super) fn positions(&mut self, max: usize) -> Read<Positions> {
        let mut positions = Positions::new();
        self.expect(b'{', "an object is expected")?;
        if self.take(b'}') {
            return Ok(positions);
        }
        loop {
            if positions.len() == max {
                return Err(self.fault(ErrorCode::MessageTooLarge, "there are too many positions"));
            }
            let channel = self.channel()?;
            self.expect(b':', "a colon is expected")?;
            if positions.insert(channel, self.position()?).is_some() {
                return Err(self.fault(ErrorCode::DuplicateMember, ErrorCode::DuplicateMember.message()));
            }
            if !self.take(b',') {
                self.expect(b'}', "a comma or a closing brace is expected")?;
                return Ok(positions);
            }
        }
    }

    pub(super) fn meta(&mut self) -> Read<Meta> {
        let mut entries = Vec::new();
        let mut object = Object::enter(self)?;
        while let Some(name) = object.next(self)? {
            if entries.len() == Meta::MAX_NAMES || self.peek() != Some(b'"') {
                return Err(self.fault(ErrorCode::InvalidMeta, ErrorCode::InvalidMeta.message()));
            }
            entries.push((name, self.string()?));
        }
        Meta::new(entries).map_err(|code| self.fault(code, code.message()))
    }

    pub(super) fn sender(&mut self) -> Read<Sender> {
        let (mut user, mut session) = (None, None);
        let mut object = Object::enter(self)?;
        while let Some(name) = object.next(self)? {
            match &*name {
                "user" => user = Some(self.text(bounds::USER_BYTES)?),
                "session" => session = Some(self.session()?),
                _ => self.skip()?,
            }
        }
        Ok(Sender { user, session: self.required(session, "sender.session is missing")? })
    }

    pub(super) fn features(&mut self) -> Read<Vec<Box<str>>> {
        self.list(bounds::FEATURES, |reader| reader.text(bounds::FEATURE_BYTES))
    }

    pub(super) fn transports(&mut self) -> Read<Vec<TransportOffer>> {
        self.list(bounds::TRANSPORTS, Self::transport)
    }

    fn transport(&mut self) -> Read<TransportOffer> {
        let (mut name, mut url, mut certificate_hashes) = (None, None, Vec::new());
        let mut object = Object::enter(self)?;
        while let Some(member) = object.next(self)? {
            match &*member {
                "name" => name = Some(self.text(bounds::TRANSPORT_NAME_BYTES)?),
                "url" => url = Some(self.text(bounds::URL_BYTES)?),
                "certificateHashes" => {
                    certificate_hashes = self.list(bounds::CERTIFICATE_HASHES, |reader| {
                        reader.text(bounds::CERTIFICATE_HASH_BYTES)
                    })?;
                }
                _ => self.skip()?,
            }
        }
        Ok(TransportOffer {
            name: self.required(name, "transports.name is missing")?,
            url,
            certificate_hashes,
        })
    }
}
