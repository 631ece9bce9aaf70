//! Log lines: to the standard error, as text or JSON, by a filter.
//!
//! One rule that no filter can lift: at `trace` dependencies print messages as they are, with session tokens and
//! credentials in them, so nothing but our own code is heard below `debug`. And one bound: how many [`warnings`] of one kind
//! are written in a minute.

mod warnings;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use self::warnings::Warnings;

/// Begins to write log lines, and of each kind of warning so many in a minute; somebody has to
/// [count](Warnings::count_minutes) these.
pub(super) fn init(format: &str, filter: &str, warnings_per_minute: u64) -> anyhow::Result<Warnings> {
    let (subscriber, warnings) = subscriber(format, filter, warnings_per_minute, std::io::stderr)?;
    subscriber.try_init()?;
    Ok(warnings)
}

/// A filter from its text.
pub(super) fn filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|error| error.to_string())
}

fn subscriber<W>(
    format: &str,
    filter: &str,
    warnings_per_minute: u64,
    writer: W,
) -> anyhow::Result<(Box<dyn Subscriber + Send + Sync + 'static>, Warnings)>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        "json" => lines.json().flatten_event(true).boxed(),
        _ => lines.with_ansi(false).boxed(),
    };
    let filter = self::filter(filter).map_err(anyhow::Error::msg)?;
    // What the filter never lets through is not even asked about: dependencies trace each message that they move.
    let cap = filter_fn(is_safe).with_max_level_hint(filter.max_level_hint().unwrap_or(LevelFilter::TRACE));
    let warnings = Warnings::new(warnings_per_minute);
    let subscriber = tracing_subscriber::registry().with(cap).with(filter).with(warnings.clone()).with(lines);
    Ok((Box::new(subscriber), warnings))
}

/// Whether a line may be heard at all.
fn is_safe(line: &Metadata<'_>) -> bool {
    let ours =
        line.target().split("::").next().is_some_and(|root| root == OURS || root.starts_with(OURS_TOO));
    *line.level() <= Level::DEBUG || ours
}

const OURS: &str = "throughline";
const OURS_TOO: &str = "throughline_";

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;

    use super::*;

    /// What was written.
    #[derive(Clone, Default)]
    pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn heard(format: &str, filter: &str) -> String {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, _) = subscriber(format, filter, 0, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for level in 0..2 {
                macro_rules! say {
                    ($($target:literal),+) => {$(
                        match level {
                            0 => tracing::debug!(target: $target, "{} at debug", $target),
                            _ => tracing::trace!(target: $target, "{} at trace", $target),
                        }
                    )+};
                }
                say!(
                    "hyper::proto",
                    "tungstenite::protocol",
                    "tokio_tungstenite",
                    "h2",
                    "rustls::conn",
                    "log"
                );
                say!("throughline::gateway", "throughline_polling", "throughlines");
            }
        });
        page.text()
    }

    #[test]
    fn dependencies_are_not_heard_at_trace_whatever_the_filter_says() {
        for filter in [
            "trace",
            "hyper=trace,tungstenite=trace,h2=trace,rustls=trace,throughline=trace,throughline_polling=trace",
        ] {
            for format in ["text", "json"] {
                let heard = heard(format, filter);
                for theirs in ["hyper::proto", "tungstenite::protocol", "h2", "rustls::conn"] {
                    assert!(heard.contains(&format!("{theirs} at debug")), "{filter} {heard}");
                    assert!(!heard.contains(&format!("{theirs} at trace")), "{filter} {heard}");
                }
                assert!(heard.contains("throughline::gateway at trace"), "{heard}");
                assert!(heard.contains("throughline_polling at trace"), "{heard}");
                assert!(!heard.contains("throughlines at trace"), "{heard}");
            }
        }
    }

    #[test]
    fn a_filter_is_obeyed_and_one_that_is_none_is_refused() {
        assert!(!heard("text", "info").contains("debug"));
        assert!(filter("throughline=loud").is_err());
    }

    #[test]
    fn a_json_line_is_an_object() {
        for line in heard("json", "debug").lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["message"].is_string() && line["level"] == "DEBUG", "{line}");
        }
    }
}
