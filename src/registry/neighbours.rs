//! Who else on this machine attaches to the same image just now.
//!
//! Only a hint: it decides whether requests are spent on looking what others write. Whoever pretends to be a neighbour
//! costs us a few requests.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use super::place::Place;
use crate::model::Digest;

/// A door that neighbours knock at, as long as this lives; a name in memory, of which nothing stays.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// None: somebody else has it.
    door: Option<UnixDatagram>,
}

impl Neighbours {
    /// Opens the door of those who attach to `subject` at `place`, or knocks at it. Where that cannot be done nobody is
    /// there.
    pub(super) fn meet(place: &Place, subject: &Digest) -> Self {
        let place = Digest::of(place.name(&subject.to_string()).as_bytes());
        let name = format!("reprov-attach-{}", place.hex());
        Self { door: open(name.as_bytes()).unwrap_or(None) }
    }

    /// Whether another was met up to now.
    pub(super) fn any(&self) -> bool {
        self.door.as_ref().is_none_or(|door| door.recv(&mut [0]).is_ok())
    }
}

/// The door if it is free; nothing if it is another's, who then knows of us.
fn open(name: &[u8]) -> io::Result<Option<UnixDatagram>> {
    let address = SocketAddr::from_abstract_name(name)?;
    match UnixDatagram::bind_addr(&address) {
        Ok(door) => {
            door.set_nonblocking(true)?;
            Ok(Some(door))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let knock = UnixDatagram::unbound()?;
            knock.set_nonblocking(true)?;
            let _ = knock.send_to_addr(&[1], &address); // He may have gone.
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_know_of_each_other() {
        let repository = format!("neighbours-{}", std::process::id());
        let place = Place::new("h.example", &repository, false).unwrap();
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let first = Neighbours::meet(&place, &one);
        assert!(!first.any());
        assert!(!Neighbours::meet(&place, &other).any(), "another image");
        let second = Neighbours::meet(&place, &one);
        assert!(second.any() && first.any());
        drop((first, second));
        assert!(!Neighbours::meet(&place, &one).any(), "they have gone");
    }
}
