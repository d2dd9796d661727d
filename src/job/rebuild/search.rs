//! Which of several variations change an image: halves are replayed, and halves of those that change it.

use std::collections::{BTreeMap, BTreeSet};

use super::RebuildError;
use crate::model::{Variations, Verdict, limits::VARY_REPLAYS_MAX};

/// Where an image differs from its original.
pub(super) type Places = BTreeSet<String>;

/// What came of one replay.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    pub(super) places: Places,
}

/// Runs the build again.
pub(super) trait Replays: Send {
    fn replay(&mut self, on: &Variations) -> impl Future<Output = Result<Seen, RebuildError>> + Send;
}

/// How sure it is that variations change an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// They do, and fewer of them do not.
    Narrowed,
    /// Some of them do: [`VARY_REPLAYS_MAX`] replays did not suffice to say which.
    Among,
    /// They did once, and did not when tried again.
    Chance,
}

impl Certainty {
    /// Its name in JSON and statements.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Narrowed => "narrowed",
            Self::Among => "among",
            Self::Chance => "chance",
        }
    }
}

/// What changes the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blame {
    /// These; several: only all of them together.
    pub together: Variations,
    /// How sure that is.
    pub certainty: Certainty,
    /// What differs then, and does not without.
    pub places: Places,
}

/// A search, and what it has found.
pub(super) struct Search<'a, R> {
    replays: &'a mut R,
    /// Where the image differs with nothing varied.
    control: Places,
    left: usize,
    known: BTreeMap<Variations, Places>,
    pub(super) blamed: Vec<Blame>,
}

impl<'a, R: Replays> Search<'a, R> {
    /// With a replay of nothing varied as the control.
    pub(super) fn new(replays: &'a mut R, control: Places) -> Self {
        Self { replays, control, left: VARY_REPLAYS_MAX, known: BTreeMap::new(), blamed: Vec::new() }
    }

    /// Where the image differs with `on`, and does not without; none: no replay is left.
    async fn places(&mut self, on: &Variations) -> Result<Option<Places>, RebuildError> {
        if on.is_empty() {
            return Ok(Some(Places::new()));
        }
        if let Some(places) = self.known.get(on) {
            return Ok(Some(places.clone()));
        }
        let places = self.replay(on).await?;
        if let Some(places) = &places {
            self.known.insert(on.clone(), places.clone());
        }
        Ok(places)
    }

    async fn replay(&mut self, on: &Variations) -> Result<Option<Places>, RebuildError> {
        Ok(self.seen(on).await?.map(|seen| &seen.places - &self.control))
    }

    /// One more replay; none: no replay is left.
    pub(super) async fn seen(&mut self, on: &Variations) -> Result<Option<Seen>, RebuildError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.replays.replay(on).await.map(Some)
    }

    fn blame(&mut self, together: Variations, certainty: Certainty, places: Places) {
        if places.is_empty() {
            return;
        }
        let same = |blame: &&mut Blame| blame.together == together && blame.certainty == certainty;
        match self.blamed.iter_mut().find(same) {
            Some(blame) => blame.places.extend(places),
            None => self.blamed.push(Blame { together, certainty, places }),
        }
    }

    /// Finds out which of `on` make the image differ in `found`, as a replay with all of them did.
    pub(super) async fn find(&mut self, on: &Variations, found: Places) -> Result<(), RebuildError> {
        let mut work = vec![(on.clone(), &found - &self.control)];
        while let Some((on, mut rest)) = work.pop() {
            if on.len() < 2 || rest.is_empty() {
                self.blame(on, Certainty::Narrowed, rest);
                continue;
            }
            let (first, second) = on.halves();
            let mut halves = Vec::new();
            for half in [first, second] {
                // What one half does is not asked of the other.
                if rest.is_empty() {
                    break;
                }
                let Some(places) = self.places(&half).await? else {
                    self.blame(on.clone(), Certainty::Among, std::mem::take(&mut rest));
                    break;
                };
                let here = &places & &rest;
                rest = &rest - &here;
                halves.push((half, here));
            }
            work.extend(halves.into_iter().rev()); // The first of them next.
            self.find_together(&on, rest).await?;
        }
        Ok(())
    }

    /// Neither half of `on` makes the image differ in `places`: which fewest do, left out one after the other?
    async fn find_together(&mut self, on: &Variations, places: Places) -> Result<(), RebuildError> {
        if places.is_empty() {
            return Ok(());
        }
        let Some(again) = self.replay(on).await? else {
            self.blame(on.clone(), Certainty::Among, places);
            return Ok(());
        };
        self.blame(on.clone(), Certainty::Chance, &places - &again);
        let mut work = vec![(on.clone(), &places & &again)];
        while let Some((on, mut rest)) = work.pop() {
            let (mut fewest, mut certainty) = (on.clone(), Certainty::Narrowed);
            for variation in on.iter().filter(|_| on.len() > 1) {
                if rest.is_empty() {
                    break;
                }
                let fewer = fewest.without(&[variation].into_iter().collect());
                let Some(places) = self.places(&fewer).await? else {
                    certainty = Certainty::Among;
                    break;
                };
                let still = &places & &rest;
                if still == rest {
                    fewest = fewer;
                } else if !still.is_empty() {
                    rest = &rest - &still;
                    work.push((fewer, still));
                }
            }
            self.blame(fewest, certainty, rest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image that differs in a place with all variations of its list, or of one of its lists.
    struct Pretended {
        rules: Vec<(&'static str, &'static str)>,
        ran: Vec<String>,
        /// Places of the first replay only.
        once: Option<&'static str>,
    }

    impl Replays for Pretended {
        async fn replay(&mut self, on: &Variations) -> Result<Seen, RebuildError> {
            self.ran.push(on.to_string());
            Ok(Seen { verdict: Verdict::Explained, places: self.places(on) })
        }
    }

    impl Pretended {
        fn places(&mut self, on: &Variations) -> Places {
            let holds = |(needed, _): &&(&str, &str)| {
                *needed == "none" || needed.parse::<Variations>().unwrap().without(on).is_empty()
            };
            let places = self.rules.iter().filter(holds).map(|(_, place)| (*place).to_owned());
            places.chain(self.once.take().map(str::to_owned)).collect()
        }
    }

    /// What is found of an image with such `rules`, and in how many replays.
    fn found(rules: &[(&'static str, &'static str)], once: Option<&'static str>) -> (Vec<String>, usize) {
        let mut pretended = Pretended { rules: rules.to_vec(), ran: Vec::new(), once };
        let on: Variations = "all".parse().unwrap();
        let all = pretended.places(&on);
        let control = pretended.places(&Variations::default());
        let mut search = Search::new(&mut pretended, control);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(search.find(&on, all)).unwrap();
        let told = |blame: &Blame| {
            let places: Vec<_> = blame.places.iter().map(String::as_str).collect();
            format!("{} {}: {}", blame.certainty.name(), blame.together, places.join(" "))
        };
        let mut told: Vec<_> = search.blamed.iter().map(told).collect();
        told.sort();
        (told, pretended.ran.len())
    }

    #[track_caller]
    fn check(rules: &[(&'static str, &'static str)], expected: &[&str], replays: usize) {
        let (told, ran) = found(rules, None);
        assert_eq!(told, expected);
        assert!(ran <= replays, "{ran} replays");
    }

    #[test]
    fn one_that_changes_the_image_is_found_by_halves() {
        for name in ["time=+400d", "hostname", "cpus", "uid", "locale", "path", "order", "kernel", "aslr"] {
            check(&[(name, "x")], &[&format!("narrowed {name}: x")], 8);
        }
        check(&[("time=+400d", "x")], &["narrowed time=+400d: x"], 4);
    }

    #[test]
    fn several_are_told_apart_by_place() {
        check(
            &[("hostname", "a"), ("kernel", "b"), ("kernel", "c")],
            &["narrowed hostname: a", "narrowed kernel: b c"],
            10,
        );
        let each = ["time=+400d", "hostname", "cpus", "uid", "locale", "path", "order", "kernel", "aslr"];
        let rules: Vec<_> = each.iter().map(|name| (*name, *name)).collect();
        let (told, ran) = found(&rules, None);
        assert_eq!(told.len(), 9);
        assert_eq!(ran, 16);
    }

    #[test]
    fn what_differs_without_any_is_nobodys_fault() {
        check(&[("none", "a")], &[], 0);
        check(&[("none", "a"), ("uid", "b"), ("uid", "a")], &["narrowed uid: b"], 8);
    }

    #[test]
    fn what_only_several_do_together_is_said() {
        check(&[("hostname,aslr", "x")], &["narrowed hostname,aslr: x"], 12);
        check(&[("time,cpus,order", "x")], &["narrowed time=+400d,cpus,order: x"], 12);
        check(&[("hostname,cpus", "x")], &["narrowed hostname,cpus: x"], 14);
        check(
            &[("hostname,aslr", "x"), ("cpus,kernel", "y")],
            &["narrowed cpus,kernel: y", "narrowed hostname,aslr: x"],
            24,
        );
        check(
            &[("hostname,aslr", "x"), ("locale", "y")],
            &["narrowed hostname,aslr: x", "narrowed locale: y"],
            20,
        );
    }

    #[test]
    fn chance_is_not_blamed() {
        let (told, _) = found(&[], Some("x"));
        assert_eq!(told, ["chance time=+400d,hostname,cpus,uid,locale,path,order,kernel,aslr: x"]);
    }

    #[test]
    fn replays_are_bounded_and_what_is_left_is_said() {
        let mut rules = Vec::new();
        let names = ["time=+400d", "hostname", "cpus", "uid", "locale", "path", "order", "kernel", "aslr"];
        for one in names {
            for other in names.iter().filter(|other| **other != one) {
                let pair: &'static str = format!("{one},{other}").leak();
                rules.push((pair, pair));
            }
        }
        let (told, ran) = found(&rules, None);
        assert_eq!(ran, VARY_REPLAYS_MAX);
        assert!(told.iter().any(|line| line.starts_with("among ")), "{told:?}");
    }
}
