//! One request to the admin API of a running gateway.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Where an admin API is, and what opens it.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArguments {
    /// The admin API of the gateway.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7081", env = "THROUGHLINE_ADMIN_URL")]
    admin: String,
    /// Its key, where it has one.
    #[arg(long, value_name = "KEY", env = "THROUGHLINE_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
}

impl AdminArguments {
    /// Posts JSON, and gives the answer's status and JSON.
    pub(super) async fn post(
        &self,
        path: &str,
        body: String,
    ) -> anyhow::Result<(StatusCode, serde_json::Value)> {
        let answer = tokio::time::timeout(PATIENCE, self.ask(path, body));
        answer.await.with_context(|| format!("{} does not answer", self.admin))?
    }

    async fn ask(&self, path: &str, body: String) -> anyhow::Result<(StatusCode, serde_json::Value)> {
        let url: Uri = self.admin.parse().with_context(|| format!("{:?} is no address", self.admin))?;
        let Some(authority) = url.authority().filter(|_| url.scheme_str() == Some("http")) else {
            bail!("{:?} is not like http://127.0.0.1:7081", self.admin);
        };
        let host = authority.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
            .await
            .with_context(|| format!("no gateway at {}: is `throughline serve` running?", self.admin))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, authority.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.admin_key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        let json = serde_json::from_slice(&body).with_context(|| {
            format!("{} answered {status}, and no JSON: is it the admin API?", self.admin)
        })?;
        Ok((status, json))
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES: usize = 16 << 20;
