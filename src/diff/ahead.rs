//! A layer's archive, inflated and hashed by a thread of its own ahead of whoever reads it.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};

use crate::model::{Digest, Hasher};

const PIECE_SIZE_BYTES: usize = 256 << 10;
/// Pieces that may wait to be read.
const WAITING: usize = 12;

/// What is ready to be read.
#[derive(Debug)]
pub(super) struct Ahead {
    pieces: Receiver<io::Result<Piece>>,
    spare: Sender<Vec<u8>>,
    piece: Piece,
    at: usize,
}

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    length: usize,
}

/// Gives the digest of all that was read, if that was all of it.
pub(super) type Hashing<'scope> = ScopedJoinHandle<'scope, Option<Digest>>;

impl Ahead {
    /// Begins to read `source`; ends early once nobody reads here.
    pub(super) fn of<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        source: impl Read + Send + 'scope,
    ) -> (Self, Hashing<'scope>) {
        let (sender, pieces) = sync_channel(WAITING);
        let (spare, spares) = channel();
        let hashing = scope.spawn(move || run(source, &sender, &spares));
        (Self { pieces, spare, piece: Piece::default(), at: 0 }, hashing)
    }
}

fn run(
    mut source: impl Read,
    sender: &SyncSender<io::Result<Piece>>,
    spares: &Receiver<Vec<u8>>,
) -> Option<Digest> {
    let mut hasher = Hasher::default();
    loop {
        let mut bytes = spares.try_recv().unwrap_or_else(|_| vec![0; PIECE_SIZE_BYTES]);
        let length = match fill(&mut source, &mut bytes) {
            Ok(0) => return Some(hasher.finish()),
            Ok(length) => length,
            Err(error) => {
                let _ = sender.send(Err(error)); // Nobody to tell if nobody reads.
                return None;
            }
        };
        hasher.update(&bytes[..length]);
        sender.send(Ok(Piece { bytes, length })).ok()?;
    }
}

/// Reads until `buffer` is full or there is no more.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.piece.length
            && let Ok(next) = self.pieces.recv()
        {
            let used = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            if !used.bytes.is_empty() {
                let _ = self.spare.send(used.bytes); // Not needed once all is read.
            }
        }
        Ok(&self.piece.bytes[self.at..self.piece.length])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
