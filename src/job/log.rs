//! The build log in the making: the engine's lines, kept and told.

use std::io::{self, Write as _};

use super::{Ports, bases::Tail, execute::Kept, track::Tracker};
use crate::{
    engine::LogLine,
    host,
    model::{Digest, limits},
    progress::Update,
    store::{Store, StoreError, Writer},
    transcript::Event,
};

/// The log in the making.
pub(super) struct Log {
    writer: Option<Writer>,
    pub(super) kept: Kept,
    pub(super) tail: Tail,
    pub(super) events: Vec<Event>,
    full: bool,
}

impl Log {
    pub(super) fn start(store: &Store) -> Result<Self, StoreError> {
        let kept = Kept { digest: Digest::of(b""), size: 0 };
        Ok(Self {
            writer: Some(store.writer()?),
            kept,
            tail: Tail::default(),
            events: Vec::new(),
            full: false,
        })
    }

    pub(super) fn line(&mut self, line: &[u8], tracker: &Tracker, ports: &Ports) -> io::Result<()> {
        self.tail.push(line);
        let text = String::from_utf8_lossy(line);
        match tracker.line(text.trim_end()) {
            LogLine::Step { number, count, text, .. } => {
                // The engine's text names local bases and lowered lines; the Dockerfile's own is what people know.
                let step = tracker.current();
                let text = step.as_ref().map_or(text, |step| &step.text);
                ports.progress.update(Update::Step { number, count, text });
                self.events.push(Event {
                    time: host::now(),
                    kind: "step".to_owned(),
                    step: Some(text.to_owned()),
                    line: step.as_ref().map(|step| step.line),
                    ..Event::default()
                });
            }
            _ => ports.progress.update(Update::Output(line)),
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if writer.size_bytes() + line.len() as u64 > limits::LOG_SIZE_BYTES_MAX {
            if !std::mem::replace(&mut self.full, true) {
                writer.write_all(b"reprov: the log is full; the rest was not kept\n")?;
            }
            return Ok(());
        }
        writer.write_all(line)
    }

    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        if let Some(writer) = self.writer.take() {
            let (digest, size) = writer.finish()?;
            self.kept = Kept { digest, size };
        }
        Ok(())
    }
}
