//! `gzip1`: one gzip member of independent deflate blocks, the same bytes for any number of cores
//! (WIRE.md §6).

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Write},
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
};

use flate2::{Compress, Compression, Crc, FlushCompress};
use rayon::Yield;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const BLOCK: usize = 1 << 20;
const LEVEL: u32 = 6;

/// A block that was deflated.
#[derive(Debug)]
struct Deflated {
    bytes: Vec<u8>,
    /// What it was.
    block: Vec<u8>,
}

/// Compresses what is written, on all cores while more comes; [`Gzip1::finish`] ends the member.
#[derive(Debug)]
pub struct Gzip1<W> {
    out: W,
    /// What was written since the last cut.
    block: Vec<u8>,
    /// Blocks in the making, in order.
    deflating: VecDeque<Receiver<io::Result<Deflated>>>,
    /// One to be written to, if there is one: the system need not clear memory for another.
    spare: Option<Vec<u8>>,
    started: bool,
    crc: Crc,
}

impl<W: Write> Gzip1<W> {
    /// Compresses into `out`.
    pub fn new(out: W) -> Self {
        let (block, deflating) = (Vec::new(), VecDeque::new());
        Self { out, block, deflating, spare: None, started: false, crc: Crc::new() }
    }

    /// Writes the final block, checksum and size; gives `out` back.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.cut(true)?;
        while !self.deflating.is_empty() {
            self.write_oldest()?;
        }
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    /// Hands the block to any free core. Bounded: no more are in the making than keep all cores busy.
    fn cut(&mut self, last: bool) -> io::Result<()> {
        while self.deflating.len() > 2 * rayon::current_num_threads() {
            self.write_oldest()?;
        }
        let next = self.spare.take().unwrap_or_else(|| Vec::with_capacity(if last { 0 } else { BLOCK }));
        let block = std::mem::replace(&mut self.block, next);
        let (send, receive) = sync_channel(1);
        rayon::spawn_fifo(move || drop(send.send(deflate(block, last)))); // Nobody waits after an error.
        self.deflating.push_back(receive);
        Ok(())
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let Some(block) = self.deflating.pop_front() else { return Ok(()) };
        let Deflated { bytes, mut block } = wait(&block)?;
        block.clear();
        self.spare = Some(block);
        if !std::mem::replace(&mut self.started, true) {
            self.out.write_all(&HEADER)?;
        }
        self.out.write_all(&bytes)
    }
}

/// A block once it is deflated; a thread of the pool does other blocks until then.
fn wait(block: &Receiver<io::Result<Deflated>>) -> io::Result<Deflated> {
    let gone = || io::Error::other("a block was not deflated");
    loop {
        match block.try_recv() {
            Ok(deflated) => return deflated,
            Err(TryRecvError::Disconnected) => return Err(gone()),
            Err(TryRecvError::Empty) if rayon::yield_now() == Some(Yield::Executed) => {}
            Err(TryRecvError::Empty) => return block.recv().map_err(|_| gone())?,
        }
    }
}

impl<W: Write> Write for Gzip1<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Only when more comes is it known that the block is not the last.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.cut(false)?;
        }
        let count = bytes.len().min(BLOCK - self.block.len());
        self.crc.update(&bytes[..count]);
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Does nothing: a block is cut by its size alone, else a flush would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// A thread's own: the system clears its memory once, not for each block.
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

fn deflate(block: Vec<u8>, last: bool) -> io::Result<Deflated> {
    COMPRESS.with_borrow_mut(|compress| {
        compress.reset();
        // Deflate never grows by more than a few bytes in 16 KiB; room for all of it makes this one call.
        let mut bytes = Vec::with_capacity(block.len() + block.len() / 1024 + 1024);
        let flush = if last { FlushCompress::Finish } else { FlushCompress::Sync };
        compress.compress_vec(&block, &mut bytes, flush).map_err(io::Error::other)?;
        if compress.total_in() != block.len() as u64 || bytes.len() == bytes.capacity() {
            return Err(io::Error::other("deflate did not end its block"));
        }
        Ok(Deflated { bytes, block })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::model::Digest;

    fn gzip1(bytes: &[u8], threads: usize, chunk: usize) -> Vec<u8> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut writer = Gzip1::new(Vec::new());
            bytes.chunks(chunk).for_each(|chunk| writer.write_all(chunk).unwrap());
            writer.finish().unwrap()
        })
    }

    /// Compressible but not trivial, the same every time.
    fn sample(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut step = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24).to_le_bytes()[0] & 0x3f
        };
        (0..size).map(|_| step()).collect()
    }

    #[test]
    fn same_bytes_for_any_threads_and_chunks() {
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 19 * BLOCK / 2] {
            let bytes = sample(size);
            let one = gzip1(&bytes, 1, BLOCK);
            for threads in [2, 3, 4, 8] {
                assert!(one == gzip1(&bytes, threads, 777_777), "{size} on {threads}");
            }
            // Whoever is no thread of the pool waits for it.
            let mut outside = Gzip1::new(Vec::new());
            outside.write_all(&bytes).unwrap();
            assert!(one == outside.finish().unwrap(), "{size} from outside");
            let mut decoder = flate2::bufread::GzDecoder::new(&one[..]);
            let mut back = Vec::new();
            decoder.read_to_end(&mut back).unwrap();
            assert!(back == bytes && decoder.into_inner().is_empty(), "{size}");
        }
    }

    #[test]
    fn golden() {
        let digests: Vec<_> =
            [0, 1, 3 * BLOCK + 17].map(|size| Digest::of(&gzip1(&sample(size), 2, BLOCK)).to_string()).into();
        insta::assert_snapshot!(digests.join("\n"), @r#"
            sha256:ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83
            sha256:7090a142edf885a7ed8cf5b00fb731898902f95c15bc1dbbd3f654eab8e90e90
            sha256:a6dc28e626c99a66cf87ff56af24a857ea59a69d830a049229e95ba9a17c76f2
            "#);
        let incompressible: Vec<u8> =
            (0..40_000_u32).flat_map(|n| *Digest::of(&n.to_le_bytes()).bytes()).collect();
        assert!(gzip1(&incompressible, 2, BLOCK).len() > incompressible.len());
    }
}
