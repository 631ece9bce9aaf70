//! How an event gets to the application: signed, in time, again where that may help, and never too many at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Event, WebhookConfig, WebhookError, WebhookMetrics,
    answer::Answer,
    now_ms,
    signature::{HEADER, Signer},
};
use crate::http::outgoing::{Connector, Uncallable, causes};

/// The address, and what is needed to reach it.
pub(super) struct Post {
    pub(super) config: WebhookConfig,
    client: Client<Connector, Full<Bytes>>,
    pub(super) signer: Signer,
    /// One permit for each request under way.
    permits: Semaphore,
    waiting: AtomicUsize,
    pub(super) metrics: WebhookMetrics,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("as many wait as may")]
    Overloaded,
    #[error("it took longer than it may")]
    TimedOut,
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The word for each, in metrics.
    pub(super) const WORDS: [&str; 3] = ["overloaded", "timed_out", "failed"];

    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Overloaded => Self::WORDS[0],
            Self::TimedOut => Self::WORDS[1],
            Self::Failed(_) => Self::WORDS[2],
        }
    }
}

/// How one attempt failed.
struct Miss {
    failure: Failure,
    /// When another may help.
    again: Option<Again>,
}

/// How soon.
enum Again {
    ByBackoff,
    After(Duration),
}

impl Post {
    pub(super) fn new(config: WebhookConfig) -> Result<Self, WebhookError> {
        let connector = Connector::to(&config.url, &config.roots).map_err(|why| match why {
            Uncallable::Address => WebhookError::Url(config.url.to_string()),
            Uncallable::Roots(why) => WebhookError::Roots(why),
        })?;
        let signer = Signer::new(&config.secrets)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.requests)
            .build(connector);
        let permits = Semaphore::new(config.requests);
        Ok(Self {
            config,
            client,
            signer,
            permits,
            waiting: AtomicUsize::new(0),
            metrics: WebhookMetrics::new(),
        })
    }

    /// Posts an event until it is answered, is not worth another attempt, or its time is over.
    ///
    /// # Cancel safety
    /// A caller that goes away ends the attempt that is under way; the application may have taken it.
    pub(super) async fn send(&self, event: Event, id: &str, body: Bytes) -> Result<Answer, Failure> {
        let began = Instant::now();
        let answer = self.send_in_time(id, body).await;
        let result = answer.as_ref().map(|answer| answer.status.is_success());
        self.metrics.count(event, result, began.elapsed().as_secs_f64());
        answer
    }

    async fn send_in_time(&self, id: &str, body: Bytes) -> Result<Answer, Failure> {
        let until = Instant::now() + self.config.total;
        let mut attempt = 1;
        loop {
            let due = until.min(Instant::now() + self.config.timeout);
            let miss = match timeout_at(due, self.attempt(id, body.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(miss)) => miss,
                Err(_) => Miss { failure: Failure::TimedOut, again: Some(Again::ByBackoff) },
            };
            let pause = match miss.again {
                Some(Again::ByBackoff) => backoff(attempt),
                Some(Again::After(pause)) => pause,
                None => return Err(miss.failure),
            };
            if attempt >= self.config.attempts || Instant::now() + pause >= until {
                return Err(miss.failure);
            }
            tracing::debug!(id, attempt, failure = %miss.failure, "the webhook is tried again");
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, id: &str, body: Bytes) -> Result<Answer, Miss> {
        let _permit = self.permit().await.map_err(|failure| Miss { failure, again: None })?;
        let response = self.client.request(self.request(id, body)).await.map_err(|error| Miss {
            failure: Failure::Failed(causes(&error)),
            again: Some(Again::ByBackoff),
        })?;
        let (parts, body) = response.into_parts();
        if let Some(again) = again(parts.status, &parts.headers) {
            let failure = Failure::Failed(format!("the status is {}", parts.status.as_u16()));
            return Err(Miss { failure, again: Some(again) });
        }
        let most = self.config.answer_bytes;
        match Limited::new(body, most).collect().await {
            Ok(body) => Ok(Answer { status: parts.status, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => {
                let failure = Failure::Failed(format!("the answer is larger than {most} bytes"));
                Err(Miss { failure, again: None })
            }
            Err(error) => Err(Miss {
                failure: Failure::Failed(format!("the answer broke off: {error}")),
                again: Some(Again::ByBackoff),
            }),
        }
    }

    /// Waits for its turn, unless too many do.
    async fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.config.waiting).ok_or(Failure::Overloaded)?;
        let _waits = self.metrics.wait();
        Ok(self.permits.acquire().await.expect("never closed"))
    }

    fn request(&self, id: &str, body: Bytes) -> Request<Full<Bytes>> {
        Request::builder()
            .method(Method::POST)
            .uri(self.config.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("throughline/", env!("CARGO_PKG_VERSION")))
            .header("idempotency-key", id)
            .header(HEADER, self.signer.sign(now_ms(), &body))
            .body(Full::new(body))
            .expect("an id is printable")
    }
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("config", &self.config).finish_non_exhaustive()
    }
}

/// One of those who wait.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an answer says "not now".
fn again(status: StatusCode, headers: &HeaderMap) -> Option<Again> {
    let is_for_now = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let stated = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    is_for_now.then(|| {
        stated
            .map_or(Again::ByBackoff, |seconds| Again::After(Duration::from_secs(seconds).min(LONGEST_PAUSE)))
    })
}

/// The pause after an attempt: half of an exponential bound, and a random part of the other half.
pub(super) fn backoff(attempt: u32) -> Duration {
    let bound = BACKOFF_BASE.saturating_mul(1 << attempt.min(16)).min(BACKOFF_CAP);
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    bound.mul_f64(0.5 + 0.5 * f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX))
}

/// How long a connection may lie idle; shorter than what servers commonly allow, so that they seldom close it first.
const IDLE: Duration = Duration::from_secs(4);
const BACKOFF_BASE: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(10);
/// What is read of the pause that an application asks for: past it nobody waits anyway.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_within_its_bounds() {
        for (attempt, bound_ms) in [(1, 100), (2, 200), (3, 400), (8, 10_000), (u32::MAX, 10_000)] {
            let bound = Duration::from_millis(bound_ms);
            for _ in 0..100 {
                let pause = backoff(attempt);
                assert!(bound / 2 <= pause && pause <= bound, "{attempt}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_configuration_that_would_not_be_safe_makes_no_webhook() {
        let made = |url: &'static str, secrets: &[&str]| {
            let mut config = WebhookConfig::new(url.parse().unwrap(), "");
            config.secrets = secrets.iter().map(|&secret| secret.into()).collect();
            Post::new(config).map(drop)
        };
        let secret = "0123456789abcdef";
        assert_eq!(made("http://127.0.0.1:1/", &[secret]), Ok(()));
        assert_eq!(made("http://127.0.0.1:1/", &[]), Err(WebhookError::NoSecret));
        assert_eq!(made("http://127.0.0.1:1/", &[secret, "short"]), Err(WebhookError::ShortSecret));
        for url in ["/path", "ftp://a/", "http://user:password@a/"] {
            assert_eq!(made(url, &[secret]), Err(WebhookError::Url(url.into())));
        }
    }
}
