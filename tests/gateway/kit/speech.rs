//! A client's words in the text codec, and what is heard in answer.

use serde_json::{Value, json};

use super::{http::Ask, running::Running};

/// A session that was opened and confirmed.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) incarnation: u64,
    pub(crate) attach: u64,
    /// The last item that was heard.
    pub(crate) after: u64,
}

/// Everything that was heard on a link.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(pub(crate) Vec<Value>);

/// Frames, one a line.
pub(crate) fn frames(frames: &[Value]) -> String {
    frames.iter().map(|frame| format!("{frame}\n")).collect()
}

/// The frame that opens a session.
pub(crate) fn hello() -> Value {
    json!({"type": "hello", "version": 0, "instance": "test", "attach": 1})
}

impl Known {
    /// Opens a session by long-polling.
    pub(crate) async fn open(gateway: &Running) -> Self {
        let subscribe =
            json!({"type": "commands", "first": 1, "items": [{"type": "subscribe", "channel": "news"}]});
        let answer = Ask::frames("/v1/poll", frames(&[hello(), subscribe])).to(gateway.clients).await;
        let heard = Heard::read(&answer.body);
        let welcome = heard.first("welcome").unwrap_or_else(|| panic!("no welcome: {answer:?}"));
        let mut known = Self {
            id: welcome["session"].as_str().expect("an id").into(),
            token: welcome["token"].as_str().expect("a token").into(),
            incarnation: welcome["incarnation"].as_u64().expect("a number"),
            attach: 1,
            after: 0,
        };
        known.note(&heard);
        assert!(known.look(gateway).await.1, "{heard:?}");
        known
    }

    /// The frame that goes on with it on a new link, all that came so far confirmed.
    pub(crate) fn resume(&mut self) -> Value {
        self.attach += 1;
        json!({
            "type": "hello", "version": 0, "instance": "test", "attach": self.attach,
            "resume": {"token": self.token, "incarnation": self.incarnation, "after": self.after, "low": 1},
        })
    }

    /// The frame that names it in a post.
    pub(crate) fn named(&self) -> Value {
        json!({"type": "session", "token": self.token, "incarnation": self.incarnation, "link": 0})
    }

    /// Polls once; gives what was heard, and whether it was this session that went on.
    pub(crate) async fn look(&mut self, gateway: &Running) -> (Heard, bool) {
        // Whoever says its name asks for everything, so the answer has a welcome whatever is known already.
        let mut hello = self.resume();
        hello["client"] = json!({"name": "look", "version": "1"});
        let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
        let heard = Heard::read(&answer.body);
        self.note(&heard);
        let lives = heard.first("welcome").is_some_and(|welcome| {
            welcome["session"] == Value::String(self.id.clone()) && welcome["resumed"] == Value::Bool(true)
        });
        (heard, lives)
    }

    /// Takes note of the items that were heard.
    pub(crate) fn note(&mut self, heard: &Heard) {
        for frame in heard.0.iter().filter(|frame| frame["type"] == "items") {
            let count = frame["items"].as_array().map_or(0, Vec::len) as u64;
            if let Some(last) = frame["first"].as_u64().filter(|_| count > 0) {
                self.after = self.after.max(last + count - 1);
            }
        }
    }

    /// The number of its next command.
    pub(crate) fn next_command(&self, gateway: &Running) -> u64 {
        let id = throughline_wire::SessionId::parse(&self.id).expect("an id");
        gateway.handle.session(id).map_or(1, |session| session.received + 1)
    }
}

impl Heard {
    /// Reads frames, bare or in the blocks of an event stream.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(|line| line.strip_prefix("data:").unwrap_or(line));
        Self(lines.filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The first frame of a type.
    pub(crate) fn first(&self, of_type: &str) -> Option<&Value> {
        self.0.iter().find(|frame| frame["type"] == of_type)
    }

    /// Every code in it: of errors, of refused commands, of a welcome that did not resume.
    pub(crate) fn codes(&self) -> Vec<&str> {
        let mut codes = Vec::new();
        for frame in &self.0 {
            match frame["type"].as_str() {
                Some("error") => codes.extend(frame["code"].as_str()),
                Some("welcome") => codes.extend(frame["reason"].as_str()),
                Some("items") => {
                    let items = frame["items"].as_array().into_iter().flatten();
                    codes.extend(items.filter_map(|item| item["error"]["code"].as_str()));
                }
                _ => {}
            }
        }
        codes
    }

    /// Why the link is to be tried again.
    pub(crate) fn retry(&self) -> Option<&str> {
        self.first("retry")?["reason"].as_str()
    }
}
