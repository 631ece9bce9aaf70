//! Files that are read again when they change: certificates, and secrets.
//!
//! Files are compared by what they hold: a link that points elsewhere, a file put in another's place and one written
//! over are all the same. Watching the file system would miss what matters (links that are exchanged, volumes that are
//! mounted over) and is another thing on each system. Where several files belong together, whoever replaces them does so
//! one after the other, and a file may be met half written; so what cannot be used is looked at once more before it is
//! called wrong.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What files held when they were read, all together. Its `Debug` reveals nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Contents(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Contents {
    /// Reads these files. One that cannot be read is found out when it is asked for.
    pub fn read<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        let read = |path: PathBuf| {
            let held = fs::read(&path).ok();
            (path, held)
        };
        Self(paths.into_iter().map(|path| read(path.into())).collect())
    }

    /// What one of them held.
    ///
    /// # Errors
    /// The system's reason, where it could not be read.
    pub fn of(&self, path: &Path) -> io::Result<&[u8]> {
        match self.0.get(path) {
            Some(Some(held)) => Ok(held),
            _ => Err(fs::read(path).err().unwrap_or_else(|| io::ErrorKind::Interrupted.into())),
        }
    }

    /// Reads the same files again.
    fn again(&self) -> Self {
        Self::read(self.0.keys())
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Files that are looked at now and then.
#[derive(Debug)]
pub(crate) struct Watched {
    /// What they held when they were last understood, or last found wrong.
    settled: Contents,
    /// What they held at the last look, if that could not be used.
    doubted: Option<Contents>,
}

impl Watched {
    /// Files that held this, and that has been understood.
    pub(crate) const fn new(settled: Contents) -> Self {
        Self { settled, doubted: None }
    }

    /// What the files hold now, understood, if it is something else. An error is said once for each thing that is wrong.
    pub(crate) fn look<T, E>(
        &mut self,
        understand: impl FnOnce(&Contents) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let contents = self.settled.again();
        if contents == self.settled {
            self.doubted = None;
            return Ok(None);
        }
        match understand(&contents) {
            Ok(understood) => {
                (self.settled, self.doubted) = (contents, None);
                Ok(Some(understood))
            }
            Err(error) if self.doubted.as_ref() == Some(&contents) => {
                (self.settled, self.doubted) = (contents, None);
                Err(error)
            }
            Err(_) => {
                self.doubted = Some(contents);
                Ok(None)
            }
        }
    }
}

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
