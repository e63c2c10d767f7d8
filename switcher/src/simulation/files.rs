//! Files that honour only what `fsync` promises. What was written and not synced, and names that
//! were changed in a directory that was not synced, survive a power cut as any subset, and what is
//! written may be torn.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::rng::Rng;

/// A path. As text it is compared much faster than as a path, and a directory still comes before
/// what is in it.
type Name = Rc<str>;

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn above(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn is_below(name: &str, dir: &str) -> bool {
    name.strip_prefix(dir.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    Link(Rc<Path>),
    File(usize),
}

/// A file's content.
#[derive(Debug, Clone)]
struct Content {
    seen: Rc<[u8]>,
    durable: Rc<[u8]>,
    dirty: bool,
    /// A sync failed: the page cache calls it clean, and the disk does not have it.
    lost: bool,
}

/// One change of names in a directory, not durable yet.
#[derive(Debug, Clone)]
struct Change {
    names: Vec<(Name, Option<Node>)>,
    /// A sync of the directory failed: a later one does not make it durable.
    lost: bool,
}

/// All files of a machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    seen: BTreeMap<Name, Node>,
    durable: BTreeMap<Name, Node>,
    contents: Vec<Content>,
    changes: Vec<Change>,
}

fn error<T>(kind: ErrorKind) -> io::Result<T> {
    Err(kind.into())
}

impl Files {
    /// Puts something there before the story begins.
    pub(super) fn put(&mut self, path: impl Into<PathBuf>, node: Node) {
        let name: Name = text(&path.into()).into();
        self.seen.insert(Rc::clone(&name), node.clone());
        self.durable.insert(name, node);
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.seen.contains_key(text(path))
    }

    fn change(&mut self, names: Vec<(Name, Option<Node>)>) {
        for (path, node) in &names {
            set(&mut self.seen, path, node.as_ref());
        }
        self.changes.push(Change { names, lost: false });
    }

    fn parent_is_there(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if self.exists(dir) => Ok(()),
            _ => error(ErrorKind::NotFound),
        }
    }

    /// Opens a file for writing and truncates it.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<()> {
        self.parent_is_there(path)?;
        let empty: Rc<[u8]> = Rc::from([]);
        match self.seen.get(text(path)) {
            Some(Node::File(number)) => {
                let content = &mut self.contents[*number];
                content.seen = empty;
                content.dirty = true;
                content.lost = false;
            }
            Some(_) => return error(ErrorKind::IsADirectory),
            None => {
                self.contents.push(Content {
                    seen: Rc::clone(&empty),
                    durable: empty,
                    dirty: false,
                    lost: false,
                });
                let node = Node::File(self.contents.len() - 1);
                self.change(vec![(text(path).into(), Some(node))]);
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let content = self.content(path)?;
        content.seen = bytes.into();
        content.dirty = true;
        content.lost = false;
        Ok(())
    }

    fn content(&mut self, path: &Path) -> io::Result<&mut Content> {
        match self.seen.get(text(path)) {
            Some(Node::File(number)) => Ok(&mut self.contents[*number]),
            _ => error(ErrorKind::NotFound),
        }
    }

    pub(super) fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        let content = self.content(path)?;
        if !content.lost {
            content.durable = Rc::clone(&content.seen);
            content.dirty = false;
        }
        Ok(())
    }

    /// The sync of a file fails: some of it may be on the disk, and no later sync writes the rest.
    pub(super) fn lose_file(&mut self, path: &Path) {
        if let Ok(content) = self.content(path) {
            content.lost = true;
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.parent_is_there(to)?;
        let Some(node) = self.seen.get(text(from)).cloned() else {
            return error(ErrorKind::NotFound);
        };
        self.change(vec![
            (text(to).into(), Some(node)),
            (text(from).into(), None),
        ]);
        Ok(())
    }

    pub(super) fn symlink(&mut self, target: &Path, path: &Path) -> io::Result<()> {
        self.parent_is_there(path)?;
        if self.exists(path) {
            return error(ErrorKind::AlreadyExists);
        }
        self.change(vec![(text(path).into(), Some(Node::Link(target.into())))]);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if !self.exists(path) {
            return error(ErrorKind::NotFound);
        }
        self.change(vec![(text(path).into(), None)]);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        self.parent_is_there(path)?;
        if !self.exists(path) {
            self.change(vec![(text(path).into(), Some(Node::Dir))]);
        }
        Ok(())
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.seen.get(text(path)) {
            Some(Node::File(number)) => Ok(self.contents[*number].seen.to_vec()),
            _ => error(ErrorKind::NotFound),
        }
    }

    pub(super) fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self.seen.get(text(path)) {
            Some(Node::Link(target)) => Ok(target.to_path_buf()),
            _ => error(ErrorKind::NotFound),
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.exists(dir) {
            return error(ErrorKind::NotFound);
        }
        Ok(self
            .seen
            .keys()
            .filter_map(|name| name.rsplit_once('/'))
            .filter(|(above, _)| *above == text(dir))
            .map(|(_, name)| name.to_owned())
            .collect())
    }

    /// The last name that was changed in a directory and is not durable.
    pub(super) fn last_change(&self, dir: &Path) -> Option<(&str, bool)> {
        let (path, node) = self
            .changes
            .iter()
            .rev()
            .flat_map(|change| change.names.first())
            .find(|(name, _)| above(name) == text(dir))?;
        Some((path, node.is_some()))
    }

    /// Makes the names in one directory durable.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        self.harden(|name| above(name) == text(dir));
    }

    /// The sync of a directory fails: no later one makes durable what it should have.
    pub(super) fn lose_dir(&mut self, dir: &Path) {
        for change in &mut self.changes {
            if change
                .names
                .iter()
                .any(|(name, _)| above(name) == text(dir))
            {
                change.lost = true;
            }
        }
    }

    /// Makes all durable that is below one directory: `syncfs`.
    pub(super) fn sync_below(&mut self, dir: &Path) {
        for (path, node) in &self.seen {
            if let Node::File(number) = node
                && is_below(path, text(dir))
            {
                let content = &mut self.contents[*number];
                if !content.lost {
                    content.durable = Rc::clone(&content.seen);
                    content.dirty = false;
                }
            }
        }
        self.harden(|name| is_below(name, text(dir)));
    }

    fn harden(&mut self, chosen: impl Fn(&str) -> bool) {
        let mut left: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            if change.lost || !change.names.iter().any(|(path, _)| chosen(path)) {
                left.push(change);
                continue;
            }
            for (path, node) in &change.names {
                set(&mut self.durable, path, node.as_ref());
                // What was lost before is overtaken by this.
                for older in &mut left {
                    older.names.retain(|(other, _)| other != path);
                }
            }
        }
        self.changes = left;
    }

    /// The power is cut: what is not durable survives as the seed has it.
    pub(super) fn cut(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.changes) {
            if rng.chance(1, 2) {
                for (path, node) in &change.names {
                    set(&mut self.durable, path, node.as_ref());
                }
            }
        }
        for content in &mut self.contents {
            if content.dirty || content.lost {
                content.durable = torn(&content.durable, &content.seen, rng);
            }
            content.seen = Rc::clone(&content.durable);
            content.dirty = false;
            content.lost = false;
        }
        let mut kept: BTreeMap<Name, Node> = BTreeMap::new();
        for (path, node) in &self.durable {
            // In this order a directory comes before what is in it.
            let dir = above(path);
            let there = kept.contains_key(dir) || !self.seen.contains_key(dir);
            if there {
                kept.insert(Rc::clone(path), node.clone());
            }
        }
        self.durable.clone_from(&kept);
        self.seen = kept;
    }

    /// A clean shutdown: all is durable.
    pub(super) fn sync_all(&mut self) {
        self.sync_below(Path::new("/"));
    }
}

fn set(names: &mut BTreeMap<Name, Node>, path: &Name, node: Option<&Node>) {
    match node {
        Some(node) => names.insert(Rc::clone(path), node.clone()),
        None => names.remove(path),
    };
}

/// What a disk may have of a file that was being written: the old content, the new, or a part of it
/// with or without the new size.
fn torn(old: &Rc<[u8]>, new: &Rc<[u8]>, rng: &mut Rng) -> Rc<[u8]> {
    let length = usize::try_from(rng.below(new.len() as u64 + 1)).unwrap_or_default();
    match rng.below(4) {
        0 => Rc::clone(old),
        1 => Rc::clone(new),
        2 => Rc::from(&new[..length]),
        _ => {
            let mut bytes = new[..length].to_vec();
            bytes.resize(new.len(), 0);
            bytes.into()
        }
    }
}
