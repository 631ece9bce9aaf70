//! What becomes of a publish that is given up.

use futures_util::FutureExt as _;

use super::*;
use crate::{
    Gateway,
    broker::{Broker, BrokerError, Memory, MemoryConfig, Pending, Tail, Usage},
    channel::Channel,
    session::Now,
};

/// A broker in memory that never answers a publish to the channel `halts`.
struct Halting(Memory);

impl Broker for Halting {
    fn open<'a>(&'a self, channel: &'a ChannelName) -> Pending<'a, Result<Arc<Channel>, BrokerError>> {
        self.0.open(channel)
    }

    fn publish<'a>(
        &'a self,
        channel: &'a ChannelName,
        event: NewEvent,
    ) -> Pending<'a, Result<Position, BrokerError>> {
        if channel.as_str() == "halts" {
            Box::pin(std::future::pending())
        } else {
            self.0.publish(channel, event)
        }
    }

    fn report_to(&self, tail: Arc<dyn Tail>) {
        self.0.report_to(tail);
    }

    fn maintain(&self, now: Now) {
        self.0.maintain(now);
    }

    fn usage(&self) -> &Usage {
        self.0.usage()
    }
}

fn handle() -> Handle {
    let broker = Halting(Memory::new(MemoryConfig::default(), clock::now, || 1));
    Gateway::builder().broker(Arc::new(broker)).build().handle()
}

fn to(channels: &[&str]) -> Vec<Publication> {
    let channels = channels.iter().map(|name| ChannelName::parse(name).expect("a name")).collect();
    vec![Publication { channels, event: NewEvent::default() }]
}

#[tokio::test]
async fn a_batch_that_is_given_up_answers_under_its_key_with_what_was_published() {
    let handle = handle();
    let begin = || Box::pin(handle.publish_batch(to(&["news", "halts", "news"]), Some("a")));
    let mut batch = begin();
    assert!(batch.as_mut().now_or_never().is_none());
    assert_eq!(begin().now_or_never(), Some(Err(PublishError::UnderWay)));
    drop(batch);
    let published = begin().now_or_never().expect("nothing halts it").expect("nobody is at it");
    let results: Vec<_> = published[0].iter().map(|one| one.result).collect();
    let first = results[0].expect("it was published");
    assert_eq!(results, [Ok(first), Err(ErrorCode::TimedOut), Err(ErrorCode::TimedOut)]);
    let news = ChannelName::parse("news").expect("a name");
    assert_eq!(handle.history(&news, None, 9).await.expect("a channel").head, first, "and not again");
}

#[tokio::test]
async fn a_batch_that_is_given_up_before_anything_was_published_may_be_tried_again() {
    let handle = handle();
    for _ in 0..2 {
        assert!(handle.publish_batch(to(&["halts"]), Some("a")).now_or_never().is_none());
    }
}
