//! Writing results so that no half-written file ever stands under a result's name.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use super::ReportError;

/// The folder that a path lies in; the current one for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ReportError + '_ {
    |source| ReportError::Write { path: path.display().to_string(), source }
}

/// Fails now if a file could not be written at `path` later: long work should not end in a typing error.
///
/// # Errors
/// When the folder does not exist or is not writable, or `path` is a folder.
pub fn check_writable(path: &Path) -> Result<(), ReportError> {
    if path.is_dir() {
        return Err(ReportError::IsFolder { path: path.display().to_string() });
    }
    NamedTempFile::new_in(parent(path)).map(drop).map_err(failed(path))
}

/// Writes `bytes` to `path`, replacing what was there in one step.
///
/// # Errors
/// When the file cannot be written; `path` is then as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let write = || {
        let mut file = NamedTempFile::new_in(parent(path))?;
        file.write_all(bytes)?;
        publish(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(failed(path))
}

/// Temporary files are private to the user; results are as readable as any file the user makes.
#[cfg(unix)]
fn publish(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn publish(_: &fs::File) -> io::Result<()> {
    Ok(())
}

/// A folder of results that appears complete or not at all.
///
/// Files are collected beside the target and moved there by [`ResultFolder::finish`]. An earlier result of the same kind is
/// replaced; any other folder that is not empty is left alone, with an error.
#[derive(Debug)]
pub struct ResultFolder {
    target: PathBuf,
    marker: &'static str,
    staging: TempDir,
}

impl ResultFolder {
    /// Starts a folder that will stand at `target`; `marker` is a file that every result of this kind contains.
    ///
    /// # Errors
    /// When `target` cannot be made, or holds something else than such a result.
    pub fn new(target: &Path, marker: &'static str) -> Result<Self, ReportError> {
        if target.exists() {
            let occupied = !target.is_dir()
                || (!target.join(marker).is_file() && fs::read_dir(target).map_err(failed(target))?.next().is_some());
            if occupied {
                return Err(ReportError::Occupied { path: target.display().to_string(), marker });
            }
        }
        let staging =
            tempfile::Builder::new().prefix(".trivote-").tempdir_in(parent(target)).map_err(failed(target))?;
        Ok(Self { target: target.to_owned(), marker, staging })
    }

    /// Adds a file; `name` may contain folders.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<(), ReportError> {
        let path = self.staging.path().join(name);
        fs::create_dir_all(parent(&path)).map_err(failed(&path))?;
        fs::write(&path, bytes).map_err(failed(&path))
    }

    /// Moves the complete folder to its place.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn finish(self) -> Result<(), ReportError> {
        let move_all = || {
            let staged = self.staging.keep();
            if !staged.join(self.marker).is_file() {
                unreachable!("a result folder contains its marker {}", self.marker);
            }
            readable(&staged)?;
            if self.target.exists() {
                fs::remove_dir_all(&self.target)?;
            }
            fs::rename(&staged, &self.target)
        };
        move_all().map_err(failed(&self.target))
    }
}

#[cfg(unix)]
fn readable(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn readable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_appears_whole_and_replaces_only_its_own_kind() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        let folder = ResultFolder::new(&target, "manifest.json").unwrap();
        folder.add("manifest.json", b"{}").unwrap();
        folder.add("plans/a.json", b"1").unwrap();
        assert!(!target.exists());
        folder.finish().unwrap();
        assert_eq!(fs::read(target.join("plans/a.json")).unwrap(), b"1");

        let folder = ResultFolder::new(&target, "manifest.json").unwrap();
        folder.add("manifest.json", b"{2}").unwrap();
        folder.finish().unwrap();
        assert!(!target.join("plans").exists(), "nothing stale stays");

        let dropped = ResultFolder::new(&target, "manifest.json").unwrap();
        dropped.add("manifest.json", b"{3}").unwrap();
        drop(dropped);
        assert_eq!(fs::read(target.join("manifest.json")).unwrap(), b"{2}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no staging folder stays");

        fs::create_dir(root.path().join("mine")).unwrap();
        fs::write(root.path().join("mine/thesis.tex"), b"x").unwrap();
        let refused = ResultFolder::new(&root.path().join("mine"), "manifest.json");
        assert!(matches!(refused, Err(ReportError::Occupied { .. })));
    }

    #[test]
    fn a_file_replaces_in_one_step() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.csv");
        check_writable(&path).unwrap();
        write_file(&path, b"1").unwrap();
        write_file(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert!(matches!(check_writable(root.path()), Err(ReportError::IsFolder { .. })));
        assert!(matches!(check_writable(&root.path().join("no/such/a.csv")), Err(ReportError::Write { .. })));
    }
}
