//! What a client of the shell's tests sends, and what a server logs.

use std::{
    fmt::Write,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use stunner_proto::{
    Class, Key, MessageBuilder, Method, TransactionId,
    attribute::{Nonce, Realm, Username},
};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, field::Field, span};

/// A request; once there is a nonce, by user `user` of `example.com` with the password `pass`.
pub(super) fn request(
    method: Method,
    nonce: Option<&str>,
    build: impl FnOnce(MessageBuilder<'_>) -> MessageBuilder<'_>,
) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let mut message = build(MessageBuilder::new(Class::Request, method, TransactionId([1; 12]), &mut bytes));
    if let Some(nonce) = nonce {
        message = message
            .attribute(&Username::new("user").expect("a name"))
            .attribute(&Realm::new("example.com").expect("a realm"))
            .attribute(&Nonce::new(nonce).expect("a nonce"))
            .integrity(&Key::long_term("user", "example.com", "pass"));
    }
    let len = message.finish().expect("it fits");
    bytes.truncate(len);
    bytes
}

/// Keeps what one thread logs: level and fields, a line for each event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| {
            write!(line, " {}={value:?}", field.name()).expect("it is a string");
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A subscriber besides. Where there is one alone, `tracing` asks for that of whichever thread comes by an event first, and
/// what is nobody's there is nobody's for ever: another test must not be the first.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Log::default()));

/// What is logged meanwhile by this thread and has `part` in it.
pub(super) fn logged(part: &str, work: impl FnOnce()) -> Vec<String> {
    LazyLock::force(&SECOND);
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), work);
    let lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.contains(part)).cloned().collect()
}

#[test]
fn what_another_thread_has_come_by_first_is_logged_all_the_same() {
    let say = || tracing::info!("it is said twice");

    let lines = logged("it is said twice", || {
        std::thread::spawn(say).join().expect("it is said");
        say();
    });

    assert_eq!(lines, ["INFO message=it is said twice"]);
}
