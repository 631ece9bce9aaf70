//! The pages, and the gateway beside them on one port.
//!
//! All that a page needs stands in this program. The policy that travels with each page lets it load from here and connect
//! to here, and nothing else.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use throughline::{Gateway, http::Body};
use tower::Service;

/// Serves the pages, and hands everything else to the gateway.
#[derive(Clone)]
pub(crate) struct Site(pub Gateway);

impl<B> Service<Request<B>> for Site
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        match FILES.iter().find(|file| file.path == path && request.method() == Method::GET) {
            Some(file) => Box::pin(std::future::ready(Ok(file.answer()))),
            None => self.0.call(request),
        }
    }
}

struct File {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

impl File {
    fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Full::from(self.text).into());
        let mut set = |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        set(header::CONTENT_TYPE, self.media_type);
        set(header::CACHE_CONTROL, "no-cache");
        set(header::CONTENT_SECURITY_POLICY, POLICY);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        response
    }
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The client that the gateway's own page has, as a module.
const CLIENT: &str = concat!(include_str!("../../src/page/client.js"), include_str!("pages/exports.js"));
const FILES: &[File] = &[
    File { path: "/", media_type: HTML, text: include_str!("pages/player.html") },
    File { path: "/host", media_type: HTML, text: include_str!("pages/host.html") },
    File { path: "/quiz.css", media_type: CSS, text: include_str!("pages/quiz.css") },
    File { path: "/host.css", media_type: CSS, text: include_str!("pages/host.css") },
    File { path: "/player.css", media_type: CSS, text: include_str!("pages/player.css") },
    File { path: "/host.js", media_type: SCRIPT, text: include_str!("pages/host.js") },
    File { path: "/player.js", media_type: SCRIPT, text: include_str!("pages/player.js") },
    File { path: "/game.js", media_type: SCRIPT, text: include_str!("pages/game.js") },
    File { path: "/stage.js", media_type: SCRIPT, text: include_str!("pages/stage.js") },
    File { path: "/client.js", media_type: SCRIPT, text: CLIENT },
    File { path: "/link.js", media_type: SCRIPT, text: include_str!("pages/link.js") },
];
