//! Logs on standard output: as they are, or, on a terminal, without what could steer it.

use std::io::{self, BufRead, BufReader, IsTerminal as _, Read, Write};

use super::{
    Context,
    failure::{Exit, Failure},
};
use crate::{
    job::Ports,
    model::{Blobs as _, Digest, limits::EVENT_SIZE_BYTES_MAX, path::printable},
    transcript::Event,
};

/// Longest piece of a line that is held.
const PIECE_SIZE_BYTES_MAX: u64 = 64 << 10;

/// Writes `said` for whoever reads: on a terminal it cannot steer it.
pub(super) fn write(out: &mut impl Write, said: &[u8], terminal: bool) -> io::Result<()> {
    if !terminal {
        return out.write_all(said);
    }
    let (text, end) = match said.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (said, ""),
    };
    let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
    let shown: Vec<_> = text.split('\t').map(printable).collect();
    write!(out, "{}{end}", shown.join("\t"))
}

/// Prints the log `digest` of the store.
pub(super) fn print_log(context: &Context<'_>, ports: &Ports, digest: &Digest) -> Result<Exit, Failure> {
    let mut log = BufReader::new(ports.store.open(digest).map_err(Failure::unavailable)?);
    let terminal = io::stdout().is_terminal();
    let copied = context.console.apart(|| {
        let (mut out, mut piece) = (io::stdout().lock(), Vec::new());
        loop {
            piece.clear();
            if log.by_ref().take(PIECE_SIZE_BYTES_MAX).read_until(b'\n', &mut piece)? == 0 {
                return out.flush();
            }
            write(&mut out, &piece, terminal)?;
        }
    });
    printed(copied)
}

/// Prints the events `digest` of the store, all or those of one line of the Dockerfile.
pub(super) fn print_events(
    context: &Context<'_>,
    ports: &Ports,
    digest: &Digest,
    of_line: Option<u32>,
) -> Result<Exit, Failure> {
    let mut events = BufReader::new(ports.store.open(digest).map_err(Failure::unavailable)?);
    let terminal = io::stdout().is_terminal();
    let wanted =
        |line: &[u8]| of_line.is_none() || Event::parse(line).is_ok_and(|event| event.line == of_line);
    let copied = context.console.apart(|| {
        let (mut out, mut line) = (io::stdout().lock(), Vec::new());
        loop {
            line.clear();
            if events.by_ref().take(EVENT_SIZE_BYTES_MAX as u64).read_until(b'\n', &mut line)? == 0 {
                return out.flush();
            }
            if wanted(&line) {
                write(&mut out, &line, terminal)?;
            }
        }
    });
    printed(copied)
}

/// A closed pipe is the reader's choice.
pub(super) fn printed(copied: io::Result<()>) -> Result<Exit, Failure> {
    match copied {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::unavailable(error)),
        _ => Ok(Exit::Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered() {
        let hostile = b"a\tb\x1b[2J\x07\xff\r\n";
        let shown = |terminal| {
            let mut out = Vec::new();
            write(&mut out, hostile, terminal).unwrap();
            out
        };
        assert_eq!(shown(false), hostile);
        assert_eq!(String::from_utf8(shown(true)).unwrap(), "a\tb\\u{1b}[2J\\u{7}\u{fffd}\n");
    }
}
