//! Who may enter: the application is shown what the client shows, and says who that is.

use std::{collections::BTreeMap, net::SocketAddr};

use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_wire::Json;

use super::{Event, Webhook, answer::Answer, event, now_ms, random_text};

/// What a client shows.
pub(crate) struct Knock<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// Whether a cookie among them counts.
    pub(crate) with_cookies: bool,
    pub(crate) remote: Option<SocketAddr>,
}

/// Who it is.
pub(crate) struct Admitted {
    pub(crate) user: Option<Box<str>>,
    pub(crate) info: Option<Json>,
}

/// Why it does not enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turned {
    Unauthorized,
    Forbidden,
    Unavailable,
}

/// Somebody wants to enter.
#[derive(Serialize)]
#[serde(tag = "type", rename = "open")]
struct OpenEvent<'a> {
    id: &'a str,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

impl Webhook {
    /// Asks who this is.
    pub(crate) async fn open(&self, knock: &Knock<'_>) -> Result<Admitted, Turned> {
        let id = format!("open.{}", random_text::<16>());
        let event = OpenEvent {
            id: &id,
            time: now_ms(),
            token: knock.token,
            headers: self.forwarded(knock),
            remote: knock.remote.map(|remote| match remote.port() {
                0 => remote.ip().to_string(), // a proxy said whose request it is, and seldom knows the port
                _ => remote.to_string(),
            }),
        };
        let answer = self.post.send(Event::Open, &id, event::body(&event)).await.map_err(|failure| {
            tracing::warn!(id, %failure, "the webhook gave no answer");
            Turned::Unavailable
        })?;
        match answer.status {
            StatusCode::UNAUTHORIZED => Err(Turned::Unauthorized),
            StatusCode::FORBIDDEN => Err(Turned::Forbidden),
            _ => admitted(&answer).map_err(|why| {
                tracing::warn!(id, %why, "the webhook's answer is not understood");
                Turned::Unavailable
            }),
        }
    }

    /// The headers that the application wants to see; several of one name as one, as HTTP joins them.
    fn forwarded<'a>(&'a self, knock: &Knock<'_>) -> BTreeMap<&'a str, String> {
        let mut forwarded = BTreeMap::new();
        for name in &self.post.config.forward_headers {
            if name == header::COOKIE && !knock.with_cookies {
                continue;
            }
            let values: Vec<_> = knock.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
            if !values.is_empty() {
                let joint: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
                forwarded.insert(name.as_str(), String::from_utf8_lossy(&values.join(joint)).into_owned());
            }
        }
        forwarded
    }
}

/// An empty answer lets nobody in: an application that knows nothing of this event may well give one.
fn admitted(answer: &Answer) -> Result<Admitted, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said<'a> {
        user: Option<Box<str>>,
        #[serde(borrow)]
        info: Option<&'a RawValue>,
    }
    if !answer.status.is_success() {
        return Err(format!("the status is {}", answer.status.as_u16()));
    }
    let Said { user, info } = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let info = info.map(|info| Json::parse(info.get().as_bytes()).map_err(|code| code.message()));
    Ok(Admitted { user, info: info.transpose()? })
}
