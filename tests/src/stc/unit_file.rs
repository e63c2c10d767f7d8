//! Unit files as switch-to-configuration reads them: sections of keys with all their values.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The sections of a unit file with its drop-ins: section, key, all values in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    sections: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl UnitFile {
    /// Adds the settings of one file. An empty value clears the key, as systemd.syntax(7) says.
    pub fn add(&mut self, text: &str) {
        let mut section = String::new();
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                section = name.to_owned();
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let values = self
                .sections
                .entry(section.clone())
                .or_default()
                .entry(key.trim().to_owned())
                .or_default();
            match value.trim() {
                "" => values.clear(),
                value => values.push(value.to_owned()),
            }
        }
    }

    /// Parses one file.
    pub fn parse(text: &str) -> Self {
        let mut unit = Self::default();
        unit.add(text);
        unit
    }

    /// Reads `unit` and its drop-ins from a unit directory; `None` if it is not there or masked.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn load(directory: &Path, unit: &str) -> io::Result<Option<Self>> {
        let path = directory.join(unit);
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if real == Path::new("/dev/null") {
            return Ok(None);
        }
        let mut parsed = Self::parse(&fs::read_to_string(real)?);
        let mut drop_ins = match fs::read_dir(directory.join(format!("{unit}.d"))) {
            Ok(entries) => entries
                .map(|entry| entry.map(|e| e.path()))
                .collect::<io::Result<Vec<_>>>()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        drop_ins.retain(|path| path.extension().is_some_and(|e| e == "conf"));
        drop_ins.sort();
        for path in drop_ins {
            parsed.add(&fs::read_to_string(path)?);
        }
        Ok(Some(parsed))
    }

    /// The last value of a key.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        let values = self.sections.get(section)?.get(key)?;
        values.last().map(String::as_str)
    }

    /// A boolean setting; anything that is not one of systemd's words is `default`.
    pub fn flag(&self, section: &str, key: &str, default: bool) -> bool {
        match self.get(section, key) {
            Some("1" | "yes" | "true" | "on") => true,
            Some("0" | "no" | "false" | "off") => false,
            _ => default,
        }
    }

    /// All sections.
    pub fn sections(&self) -> &BTreeMap<String, BTreeMap<String, Vec<String>>> {
        &self.sections
    }
}
