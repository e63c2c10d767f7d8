//! Sections of a unified kernel image (UAPI.5): a PE file whose `.cmdline` and `.osrel` are text.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The headers and the table of sections, with much to spare.
const HEADERS: u64 = 64 << 10;
const SECTIONS: usize = 96;
/// The longest text that is read.
const TEXT: u32 = 64 << 10;
/// Of one entry in the table of sections (PE/COFF, "Section Table").
const ENTRY: usize = 40;

/// The text of each of these sections; nothing where it is not there. Only the headers and the sections are
/// read: an image with kernel and initrd inside has a hundred megabytes.
pub fn sections<const N: usize>(path: &Path, names: [&str; N]) -> io::Result<[Option<String>; N]> {
    sections_in(File::open(path)?, names)
}

/// The same, of an image that is open.
pub(super) fn sections_in<const N: usize>(
    mut file: impl Read + Seek,
    names: [&str; N],
) -> io::Result<[Option<String>; N]> {
    let mut headers = Vec::new();
    (&mut file).take(HEADERS).read_to_end(&mut headers)?;
    let table = table(&headers).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a unified kernel image",
        )
    })?;
    let mut texts = [const { None }; N];
    for (text, name) in texts.iter_mut().zip(names) {
        let Some(section) = table.iter().find(|section| section.name == name) else {
            continue;
        };
        file.seek(SeekFrom::Start(section.offset.into()))?;
        let mut bytes = Vec::new();
        (&mut file)
            .take(section.size.min(TEXT).into())
            .read_to_end(&mut bytes)?;
        let text_of = String::from_utf8_lossy(&bytes);
        *text = Some(text_of.trim_end_matches('\0').to_owned());
    }
    Ok(texts)
}

struct Section {
    name: String,
    offset: u32,
    size: u32,
}

fn table(headers: &[u8]) -> Option<Vec<Section>> {
    let word = |at: usize| {
        Some(u16::from_le_bytes(
            headers.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let long = |at: usize| {
        Some(u32::from_le_bytes(
            headers.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let pe = usize::try_from(long(0x3c)?).ok()?;
    if headers.get(..2)? != b"MZ" || headers.get(pe..pe.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let count = usize::from(word(pe + 6)?).min(SECTIONS);
    let first = pe + 24 + usize::from(word(pe + 20)?);
    (0..count)
        .map(|number| {
            let at = first + number * ENTRY;
            let name = headers.get(at..at + 8)?;
            let name = name.split(|byte| *byte == 0).next()?;
            let (inside, on_disk) = (long(at + 8)?, long(at + 16)?);
            Some(Section {
                name: String::from_utf8_lossy(name).into_owned(),
                offset: long(at + 20)?,
                size: inside.min(on_disk),
            })
        })
        .collect()
}
