//! From events to lines.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::destination::Output;
use super::format::Line;
use super::{LogFormat, LogLevel};

/// Writes each event as one line. Spans are not written: what a line needs to say stands in the line.
pub(super) struct LineLayer {
    own_level: LevelFilter,
    format: LogFormat,
    output: Arc<Output>,
}

impl LineLayer {
    pub(super) const fn new(level: LogLevel, format: LogFormat, output: Arc<Output>) -> Self {
        let own_level = match level {
            LogLevel::Normal => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        Self { own_level, format, output }
    }
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        let level_max = if is_own(metadata.target()) { self.own_level } else { LevelFilter::WARN };
        *metadata.level() <= level_max
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.own_level)
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line::new(self.format);
        event.record(&mut line);
        let metadata = event.metadata();
        let time = (!self.output.keeps_time()).then(SystemTime::now);
        self.output.write(&line.finish(time, *metadata.level()), metadata);
    }
}

/// Whether an event is of this house; of what others write only warnings and errors are of use here.
fn is_own(target: &str) -> bool {
    target.split("::").next().is_some_and(|house| OWN.contains(&house))
}

const OWN: [&str; 10] = [
    "daemon",
    "license",
    "oftp",
    "os4x_proxy",
    "os4x_proxyclient",
    "os4x_proxyctl",
    "relay",
    "seal",
    "testkit",
    "wire",
];

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(level: LogLevel, format: LogFormat, events: impl FnOnce()) -> String {
        let output = Arc::new(Output::Memory(Mutex::new(Vec::new())));
        let layer = LineLayer::new(level, format, Arc::clone(&output));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), events);
        let Output::Memory(lines) = &*output else { panic!("made so above") };
        String::from_utf8(lines.lock().unwrap().clone()).unwrap()
    }

    fn call() {
        let partner: std::net::SocketAddr = "[2001:db8::1]:4711".parse().unwrap();
        tracing::info!(
            event = "call",
            call = %"7f3a",
            direction = "in",
            %partner,
            bytes_in = 512_u64,
            setup_ms = 3,
            fast = true,
            target = "a b",
            reason = "refused"
        );
    }

    #[test]
    fn text_is_as_promised() {
        let text = logged(LogLevel::Normal, LogFormat::Text, call);
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "INFO  event=\"call\" call=7f3a direction=in partner=[2001:db8::1]:4711 bytes_in=512 setup_ms=3 \
             fast=true target=\"a b\" reason=\"refused\"\n"
        );
    }

    #[test]
    fn json_is_one_flat_object() {
        let json = logged(LogLevel::Normal, LogFormat::Json, call);
        let (time, rest) = json.split_at(r#"{"time":"2001-09-09T01:46:40.007Z""#.len());
        assert!(time.starts_with("{\"time\":\"2") && time.ends_with("Z\""), "{time}");
        assert_eq!(
            rest,
            ",\"level\":\"info\",\"event\":\"call\",\"call\":\"7f3a\",\"direction\":\"in\",\
             \"partner\":\"[2001:db8::1]:4711\",\"bytes_in\":512,\"setup_ms\":3,\"fast\":true,\
             \"target\":\"a b\",\"reason\":\"refused\"}\n"
        );
    }

    #[test]
    fn messages_come_first_and_stay_on_their_line() {
        let events = || tracing::warn!(who = %"x=1", "first\nsecond {}", 7);
        let text = logged(LogLevel::Normal, LogFormat::Text, events);
        assert!(text.ends_with("WARN  first\\nsecond 7 who=\"x=1\"\n"), "{text}");
        let json = logged(LogLevel::Normal, LogFormat::Json, events);
        assert!(json.contains(r#""level":"warn","message":"first\nsecond 7","who":"x=1"}"#), "{json}");
    }

    #[test]
    fn others_are_heard_from_warnings_on() {
        let events = || {
            tracing::debug!("ours");
            tracing::trace!("ours in detail");
            tracing::info!(target: "rustls::conn", "theirs");
            tracing::warn!(target: "rustls::conn", "their warning");
        };
        let lines = |level| logged(level, LogFormat::Text, events).lines().count();
        assert_eq!(lines(LogLevel::Normal), 1);
        assert_eq!(lines(LogLevel::Debug), 2);
        assert_eq!(lines(LogLevel::Trace), 3);
    }
}
