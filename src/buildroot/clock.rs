//! The shared object that gives a step another clock (`src/clock`, docs/clock.md), with its setting in its bytes.

/// Compiled by the build script.
const OBJECT: &[u8] = include_bytes!(env!("REPROV_CLOCK_OBJECT"));
/// Before the setting, in the object's bytes (`src/clock/setting.rs`).
const MARK: &[u8] = b"reprov clock v1\n";
/// The object's file among those of `/dev/.gw`.
pub(super) const FILE: &str = "clock.so";

/// What a clock shows that is not the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It stands still, at these seconds since 1970.
    Stands(i64),
    /// It runs, by so many seconds away from the real one.
    Shifted(i64),
}

impl Clock {
    /// The object whose programs see this clock if they preload it.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the object is compiled with its mark")]
    pub fn object(self) -> Vec<u8> {
        let (kind, seconds) = match self {
            Self::Stands(at) => (1_u64, at),
            Self::Shifted(by) => (2, by),
        };
        let setting = [kind.to_le_bytes(), seconds.to_le_bytes()].concat();
        let mut bytes = OBJECT.to_vec();
        let place = bytes.windows(MARK.len()).position(|window| window == MARK);
        let place = place.expect("the object has its mark, as a test sees") + MARK.len();
        bytes[place..place + setting.len()].copy_from_slice(&setting);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_one_place_for_its_setting() {
        let places = OBJECT.windows(MARK.len()).filter(|window| *window == MARK).count();
        assert_eq!(places, 1);
        let set = Clock::Stands(1_700_000_000).object();
        assert_eq!(set.len(), OBJECT.len());
        let changed = set.iter().zip(OBJECT).filter(|(one, other)| one != other).count();
        assert!((1..=16).contains(&changed), "{changed}");
        assert_ne!(Clock::Stands(5).object(), Clock::Shifted(5).object());
    }
}
