//! Something made of files, made again when they change.
//!
//! What cannot be used leaves the old in place. Since one change may touch several files, one after
//! the other, what is broken is only believed to be a mistake when it still stands there, the same,
//! at the next look; then it is told, once.

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;

/// What is made, and from what.
pub(crate) trait Source: Send + Sync {
    /// The content of the files.
    type Material: PartialEq + Send;
    type Made: Send + Sync;
    type Error: Clone + PartialEq + Send;
    fn read(&self) -> Result<Self::Material, Self::Error>;
    fn make(&self, material: &Self::Material) -> Result<Self::Made, Self::Error>;
}

pub(crate) struct Watched<S: Source> {
    source: S,
    current: ArcSwap<S::Made>,
    seen: Mutex<Seen<S>>,
}

/// What stood in the files at the last look.
struct Seen<S: Source> {
    /// `None`: they could not even be read.
    material: Option<S::Material>,
    error: Option<S::Error>,
    told: bool,
}

/// What a look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look<E> {
    Unchanged,
    Taken,
    /// Broken for the first time: it may be half of a change.
    Doubtful,
    /// Still broken: somebody must look.
    Broken(E),
}

impl<S: Source> Watched<S> {
    /// Reads the files for the first time, when nothing older could be kept.
    pub(crate) fn load(source: S) -> Result<Self, S::Error> {
        let material = source.read()?;
        let current = ArcSwap::from_pointee(source.make(&material)?);
        let seen = Mutex::new(Seen {
            material: Some(material),
            error: None,
            told: false,
        });
        Ok(Self {
            source,
            current,
            seen,
        })
    }

    pub(crate) fn current(&self) -> Arc<S::Made> {
        self.current.load_full()
    }

    /// Whether what stands in the files has been found broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.seen.lock().told
    }

    /// Reads the files again. Touches the disk: not for a thread of the runtime.
    pub(crate) fn look(&self) -> Look<S::Error> {
        let read = self.source.read();
        let mut seen = self.seen.lock();
        let (material, error) = match read {
            Ok(material) if seen.material.as_ref() == Some(&material) => return seen.again(),
            Err(error) if seen.material.is_none() && seen.error.as_ref() == Some(&error) => {
                return seen.again();
            }
            Ok(material) => {
                let made = self.source.make(&material);
                let error = made.map(|made| self.current.store(Arc::new(made)));
                (Some(material), error.err())
            }
            Err(error) => (None, Some(error)),
        };
        let look = match error {
            None => Look::Taken,
            Some(_) => Look::Doubtful,
        };
        *seen = Seen {
            material,
            error,
            told: false,
        };
        look
    }
}

impl<S: Source> Seen<S> {
    /// The same as at the last look.
    fn again(&mut self) -> Look<S::Error> {
        match &self.error {
            Some(error) if !self.told => {
                self.told = true;
                Look::Broken(error.clone())
            }
            Some(_) | None => Look::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number in a cell in place of a file.
    struct Cell(Mutex<Result<&'static str, &'static str>>);

    impl Source for &Cell {
        type Material = &'static str;
        type Made = u32;
        type Error = &'static str;

        fn read(&self) -> Result<&'static str, &'static str> {
            *self.0.lock()
        }

        fn make(&self, material: &&'static str) -> Result<u32, &'static str> {
            material.parse().map_err(|_| "no number")
        }
    }

    #[test]
    fn a_mistake_keeps_the_old_and_is_told_once() {
        let cell = Cell(Mutex::new(Ok("1")));
        let watched = Watched::load(&cell).unwrap();
        for (now, look, current, broken) in [
            (Ok("1"), Look::Unchanged, 1, false),
            (Ok("2"), Look::Taken, 2, false),
            (Ok("x"), Look::Doubtful, 2, false),
            (Ok("3"), Look::Taken, 3, false),
            (Ok("x"), Look::Doubtful, 3, false),
            (Ok("x"), Look::Broken("no number"), 3, true),
            (Ok("x"), Look::Unchanged, 3, true),
            (Ok("y"), Look::Doubtful, 3, false),
            (Err("gone"), Look::Doubtful, 3, false),
            (Err("gone"), Look::Broken("gone"), 3, true),
            (Err("gone"), Look::Unchanged, 3, true),
            (Ok("3"), Look::Taken, 3, false),
            (Ok("3"), Look::Unchanged, 3, false),
        ] {
            *cell.0.lock() = now;
            assert_eq!(watched.look(), look, "{now:?}");
            assert_eq!(*watched.current(), current, "{now:?}");
            assert_eq!(watched.is_broken(), broken, "{now:?}");
        }
    }
}
