//! The event log in the making: streamed to disk, within bounds, readable while it grows.

use std::io::{self, Write as _};

use super::execute::Kept;
use crate::{
    host,
    model::limits::{EVENTS_OUTPUT_SIZE_BYTES_MAX, EVENTS_SIZE_BYTES_MAX},
    store::{StoreError, Writer},
    transcript::Event,
};

/// Two budgets: output without end does not hide what the gateway decides.
pub(super) struct Events {
    writer: Writer,
    /// Bytes left for lines of output; none once they did not suffice.
    output_left: Option<u64>,
    /// Bytes left for all else.
    left: Option<u64>,
}

impl Events {
    pub(super) fn start(writer: Writer) -> Self {
        Self::within(writer, EVENTS_OUTPUT_SIZE_BYTES_MAX, EVENTS_SIZE_BYTES_MAX)
    }

    fn within(writer: Writer, output_size_bytes_max: u64, size_bytes_max: u64) -> Self {
        Self { writer, output_left: Some(output_size_bytes_max), left: Some(size_bytes_max) }
    }

    /// Writes `event` down; false if there is no room. The first that has none is told by a `cut`.
    pub(super) fn write(&mut self, event: &Event) -> io::Result<bool> {
        let line = event.to_line();
        let left = if event.stream.is_some() { &mut self.output_left } else { &mut self.left };
        let Some(left_bytes) = *left else { return Ok(false) };
        *left = left_bytes.checked_sub(line.len() as u64);
        if left.is_some() {
            return self.writer.write_all(&line).map(|()| true);
        }
        let reason = "the limit on events is reached; more of this kind was not kept".to_owned();
        let cut =
            Event { stream: event.stream.clone(), reason: Some(reason), ..Event::new(host::now(), "cut") };
        self.writer.write_all(&cut.to_line()).map(|()| false)
    }

    /// What an error of the disk is called.
    pub(super) fn failed(self, source: io::Error) -> StoreError {
        self.writer.failed(source)
    }

    /// Writes the `last` event, for which there is always room, and keeps all.
    pub(super) fn end(mut self, last: &Event) -> Result<Kept, StoreError> {
        let written = self.writer.write_all(&last.to_line());
        written.map_err(|source| self.writer.failed(source))?;
        let (digest, size) = self.writer.finish()?;
        Ok(Kept { digest, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_flood_of_output_hides_nothing_else_and_the_end_is_always_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut events = Events::within(store.writer().unwrap(), 200, 120);
        let output = |text: &[u8]| Event::output("2026-11-25T00:00:00Z".into(), text);
        let refused = Event::new("2026-11-25T00:00:00Z".into(), "refused");
        let kept: Vec<bool> = (0..4).map(|_| events.write(&output(b"a line of output\n")).unwrap()).collect();
        assert_eq!(kept, [true, true, false, false]);
        assert!(!events.write(&output(b"")).unwrap(), "a shorter one would leave a gap that nobody sees");
        assert!(events.write(&refused).unwrap() && events.write(&refused).unwrap());
        assert!(!events.write(&refused).unwrap());
        let kept = events.end(&Event::new("2026-11-25T00:00:00Z".into(), "ended")).unwrap();
        let text = String::from_utf8(store.read(&kept.digest, 4096).unwrap()).unwrap();
        let kinds: Vec<_> = text.lines().map(|line| Event::parse(line.as_bytes()).unwrap().kind).collect();
        assert_eq!(kinds, ["output", "output", "cut", "refused", "refused", "cut", "ended"]);
    }
}
