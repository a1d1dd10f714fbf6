//! Writing results so that no half-written file ever stands under a result's name, and nothing that is not ours is
//! lost.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

use super::ReportError;

/// The error of the system without the temporary names we work under.
fn failed(path: &Path) -> impl Fn(io::Error) -> ReportError + '_ {
    |source| ReportError::Write { path: path.display().to_string(), source: source.kind().into() }
}

/// The nearest folder above `path` that exists.
fn existing_parent(path: &Path) -> &Path {
    path.ancestors().skip(1).find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"))
}

/// Where `path` really leads: symbolic links followed, `.` and `..` resolved, also where its last parts do not exist
/// yet.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    if let Ok(found) = absolute.canonicalize() {
        return Ok(found);
    }
    let parent = existing_parent(&absolute);
    let rest = absolute.strip_prefix(parent).unwrap_or(&absolute);
    Ok(parent.canonicalize()?.join(rest))
}

/// Fails now if a file could not be written at `path` later: long work should not end in a typing error.
///
/// # Errors
/// When the folder does not exist or is not writable, when `path` is a folder, or one of the files the work reads.
pub fn check_writable<'a>(path: &Path, inputs: impl IntoIterator<Item = &'a str>) -> Result<(), ReportError> {
    let name = || path.display().to_string();
    let target = resolve(path).map_err(failed(path))?;
    if target.is_dir() {
        return Err(ReportError::IsFolder { path: name() });
    }
    if inputs.into_iter().any(|input| Path::new(input).canonicalize().is_ok_and(|input| input == target)) {
        return Err(ReportError::IsInput { path: name() });
    }
    if target.exists() && !target.is_file() {
        return Ok(());
    }
    let parent = target.parent().unwrap_or(Path::new("/"));
    NamedTempFile::new_in(parent).map(drop).map_err(failed(path))
}

/// Writes `bytes` to `path`, replacing what was there in one step; a symbolic link is followed, a device written to.
///
/// # Errors
/// When the file cannot be written; `path` is then as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let write = || {
        let target = resolve(path)?;
        if target.exists() && !target.is_file() {
            return fs::OpenOptions::new().write(true).open(&target)?.write_all(bytes);
        }
        let parent = target.parent().unwrap_or(Path::new("/"));
        let mut file = permissive(&mut Builder::new()).tempfile_in(parent)?;
        file.write_all(bytes)?;
        file.persist(&target).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(failed(path))
}

/// Writes several files, all or none; symbolic links are followed, devices written to last.
///
/// # Errors
/// When one cannot be written; what stood at all paths then still does.
pub fn write_files(files: &[(&PathBuf, &[u8])]) -> Result<(), ReportError> {
    let mut staged = Vec::with_capacity(files.len());
    let mut devices = Vec::new();
    for (path, bytes) in files {
        let stage = || {
            let target = resolve(path)?;
            if target.exists() && !target.is_file() {
                return Ok(None);
            }
            let parent = target.parent().unwrap_or(Path::new("/"));
            let mut file = permissive(&mut Builder::new()).tempfile_in(parent)?;
            file.write_all(bytes)?;
            Ok(Some((target, file)))
        };
        match stage().map_err(failed(path))? {
            Some((target, file)) => staged.push((path, target, file)),
            None => devices.push((path, bytes)),
        }
    }
    let mut placed: Vec<Placed> = Vec::with_capacity(staged.len());
    for (path, target, file) in staged {
        match Placed::put(target, file) {
            Ok(one) => placed.push(one),
            Err(error) => {
                placed.into_iter().rev().for_each(Placed::take_back);
                return Err(failed(path)(error));
            }
        }
    }
    devices.into_iter().try_for_each(|(path, bytes)| write_file(path, bytes))
}

/// A file in its place, and what stood there before.
struct Placed {
    target: PathBuf,
    earlier: Option<TempDir>,
}

impl Placed {
    /// Name of an earlier file in the folder that it is kept in.
    const EARLIER: &str = "earlier";

    fn put(target: PathBuf, file: NamedTempFile) -> io::Result<Self> {
        let mut earlier = None;
        if target.exists() {
            let kept = Builder::new().prefix(".trivote-").tempdir_in(target.parent().unwrap_or(Path::new("/")))?;
            fs::rename(&target, kept.path().join(Self::EARLIER))?;
            earlier = Some(kept);
        }
        let placed = Self { target, earlier };
        match file.persist(&placed.target) {
            Ok(_) => Ok(placed),
            Err(error) => {
                placed.take_back();
                Err(error.error)
            }
        }
    }

    /// Puts things as they were, as far as the system lets us.
    fn take_back(self) {
        let undone = match &self.earlier {
            Some(kept) => fs::rename(kept.path().join(Self::EARLIER), &self.target),
            None => fs::remove_file(&self.target),
        };
        // The first error is the one that is told.
        drop(undone);
    }
}

/// Temporary files are private to the user; results are as readable as the user's umask makes them.
#[cfg(unix)]
fn permissive<'a, 'b, 'c>(builder: &'c mut Builder<'a, 'b>) -> &'c mut Builder<'a, 'b> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn permissive<'a, 'b, 'c>(builder: &'c mut Builder<'a, 'b>) -> &'c mut Builder<'a, 'b> {
    builder
}

/// A folder of results that appears complete or not at all.
///
/// Files are collected in memory and written by [`ResultFolder::finish`], beside the target, then moved there in one
/// step. What stood there before is replaced only if every file of it is one that such a result consists of; all of it,
/// unless [`ResultFolder::keep_existing`] is called.
#[derive(Debug)]
pub struct ResultFolder {
    /// As the user wrote it.
    named: PathBuf,
    target: PathBuf,
    files: Vec<(String, Vec<u8>)>,
    /// What becomes of files that stand there and are not added again.
    earlier: Earlier,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Earlier {
    Replaced,
    Kept,
}

impl ResultFolder {
    /// Starts a folder that will stand at `path`. `owns` tells, of a file name relative to the folder, whether an
    /// earlier result of this kind may have written it.
    ///
    /// # Errors
    /// When the folder cannot be made, holds something else, or is the working folder or one above it.
    pub fn new(path: &Path, owns: fn(&Path) -> bool) -> Result<Self, ReportError> {
        let target = resolve(path).map_err(failed(path))?;
        let name = || path.display().to_string();
        if std::env::current_dir().is_ok_and(|current| current.canonicalize().unwrap_or(current).starts_with(&target)) {
            return Err(ReportError::WorkingFolder { path: name() });
        }
        if target.exists() && !target.is_dir() {
            return Err(ReportError::IsFile { path: name() });
        }
        if target.is_dir() {
            let foreign = files_below(&target).map_err(failed(path))?.into_iter().find(|file| !owns(file));
            if let Some(foreign) = foreign {
                return Err(ReportError::Occupied { path: name(), foreign: foreign.display().to_string() });
            }
        }
        TempDir::new_in(existing_parent(&target)).map(drop).map_err(failed(path))?;
        Ok(Self { named: path.to_owned(), target, files: Vec::new(), earlier: Earlier::Replaced })
    }

    /// Where it will stand, as the user wrote it.
    pub fn path(&self) -> &Path {
        &self.named
    }

    /// Keeps what stands in the folder, but for files that are added again.
    pub fn keep_existing(&mut self) {
        self.earlier = Earlier::Kept;
    }

    /// What stands in the folder under `name`, if anything does.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn existing(&self, name: &str) -> Result<Option<Vec<u8>>, ReportError> {
        match fs::read(self.target.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let path = self.named.join(name).display().to_string();
                Err(ReportError::Read { path, source: error.kind().into() })
            }
        }
    }

    /// Adds a file; `name` may contain folders.
    pub fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.files.push((name.to_owned(), bytes.into()));
    }

    /// Writes the folder and moves it to its place.
    ///
    /// # Errors
    /// When it cannot be written or moved; what stood there before then still does.
    pub fn finish(self) -> Result<(), ReportError> {
        let write = || {
            let parent = existing_parent(&self.target);
            let staging = Builder::new().prefix(".trivote-").tempdir_in(parent)?;
            let complete = staging.path().join("complete");
            fs::create_dir(&complete)?;
            if self.earlier == Earlier::Kept && self.target.exists() {
                for file in files_below(&self.target)? {
                    let path = complete.join(&file);
                    fs::create_dir_all(path.parent().unwrap_or(&complete))?;
                    fs::copy(self.target.join(&file), path)?;
                }
            }
            for (name, bytes) in &self.files {
                let path = complete.join(name);
                fs::create_dir_all(path.parent().unwrap_or(&complete))?;
                fs::write(&path, bytes)?;
            }
            if let Some(parent) = self.target.parent() {
                fs::create_dir_all(parent)?;
            }
            if self.target.exists() {
                let earlier = staging.path().join("earlier");
                fs::rename(&self.target, &earlier)?;
                // Back with the earlier result, should the new one not get into its place.
                fs::rename(&complete, &self.target).or_else(|error| fs::rename(&earlier, &self.target).and(Err(error)))
            } else {
                fs::rename(&complete, &self.target)
            }
        };
        write().map_err(failed(&self.named))
    }
}

/// Every file below `folder`, relative to it; a link counts as a file.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(folder).map_or_else(|_| entry.path(), Path::to_owned));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owns(path: &Path) -> bool {
        path == Path::new("result.json") || path.starts_with("plans")
    }

    fn write(target: &Path, files: &[(&str, &str)]) {
        let mut folder = ResultFolder::new(target, owns).unwrap();
        for (name, text) in files {
            folder.add(name, *text);
        }
        folder.finish().unwrap();
    }

    #[test]
    fn a_folder_appears_whole_and_replaces_only_its_own_kind() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("new/out");
        write(&target, &[("result.json", "1"), ("plans/a.json", "1")]);
        assert_eq!(fs::read(target.join("plans/a.json")).unwrap(), b"1");
        write(&target, &[("result.json", "2")]);
        assert!(!target.join("plans").exists(), "nothing stale stays");
        assert_eq!(fs::read(target.join("result.json")).unwrap(), b"2");
        assert_eq!(fs::read_dir(root.path().join("new")).unwrap().count(), 1, "no staging folder stays");

        drop(ResultFolder::new(&target, owns).unwrap());
        assert_eq!(fs::read(target.join("result.json")).unwrap(), b"2", "unfinished work changes nothing");

        fs::write(target.join("thesis.tex"), "x").unwrap();
        let refused = ResultFolder::new(&target, owns).unwrap_err().to_string();
        assert!(refused.contains("thesis.tex"), "{refused}");
        assert!(matches!(ResultFolder::new(&target.join("result.json"), owns), Err(ReportError::IsFile { .. })));
        for path in [".", "..", "/"] {
            let refused = ResultFolder::new(Path::new(path), owns);
            assert!(matches!(refused, Err(ReportError::WorkingFolder { .. })), "{path}");
        }
    }

    #[test]
    fn a_folder_can_keep_what_it_has() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        write(&target, &[("result.json", "1"), ("plans/a.json", "1")]);
        let mut folder = ResultFolder::new(&target, owns).unwrap();
        assert_eq!(folder.existing("plans/a.json").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(folder.existing("plans/b.json").unwrap(), None);
        assert!(matches!(folder.existing("plans"), Err(ReportError::Read { .. })));
        folder.keep_existing();
        folder.add("result.json", "2");
        folder.finish().unwrap();
        assert_eq!(fs::read(target.join("result.json")).unwrap(), b"2");
        assert_eq!(fs::read(target.join("plans/a.json")).unwrap(), b"1");
    }

    #[test]
    fn a_file_replaces_in_one_step() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.csv");
        check_writable(&path, []).unwrap();
        write_file(&path, b"1").unwrap();
        write_file(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert!(matches!(check_writable(root.path(), []), Err(ReportError::IsFolder { .. })));
        assert!(matches!(check_writable(&root.path().join("no/such/a.csv"), []), Err(ReportError::Write { .. })));
        let input = path.to_str().unwrap();
        assert!(matches!(check_writable(&path, [input]), Err(ReportError::IsInput { .. })));
    }

    #[test]
    fn several_files_are_written_all_or_none() {
        let root = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| root.path().join(name));
        fs::write(&a, "earlier").unwrap();
        write_files(&[(&a, b"1"), (&b, b"2")]).unwrap();
        assert_eq!((fs::read(&a).unwrap(), fs::read(&b).unwrap()), (b"1".to_vec(), b"2".to_vec()));
        let missing = root.path().join("no/such/folder");
        assert!(write_files(&[(&a, b"3"), (&c, b"3"), (&missing, b"3")]).is_err());
        assert_eq!((fs::read(&a).unwrap(), c.exists()), (b"1".to_vec(), false));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing else stays");
        // What is in its place already is taken back when a later one cannot be.
        let put = |target: &PathBuf, text: &[u8]| {
            let mut file = NamedTempFile::new_in(root.path()).unwrap();
            file.write_all(text).unwrap();
            Placed::put(target.clone(), file).unwrap()
        };
        let (first, second) = (put(&a, b"4"), put(&c, b"4"));
        assert_eq!(fs::read(&a).unwrap(), b"4");
        [second, first].into_iter().for_each(Placed::take_back);
        assert_eq!((fs::read(&a).unwrap(), c.exists()), (b"1".to_vec(), false));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing else stays");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("file"), root.path().join("link"));
        fs::write(&file, "1").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_file(&link, b"2").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"2");
        assert!(link.is_symlink());
    }
}
