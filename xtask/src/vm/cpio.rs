//! Archives in the format `newc`, which the kernel unpacks as its first root (`Documentation/driver-api/early-userspace/buffer-format.rst`).

/// An archive being written, into memory.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;

impl Archive {
    /// A folder; those above it come first.
    pub(super) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, &[]);
    }

    /// A plain file.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, content);
    }

    /// A file that may be executed.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// A header of 110 characters, the name with a zero byte, the content; each part filled up to four bytes.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        // Inode, mode, uid, gid, links, mtime, size, device (2), its own device (2), length of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(path.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.fill();
        self.bytes.extend_from_slice(content);
        self.fill();
    }

    fn fill(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.file("init", b"hello");
        let bytes = archive.finish();
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[14..22], b"000081A4", "mode: a plain file, 0644");
        assert_eq!(&bytes[54..62], b"00000005", "size");
        assert_eq!(&bytes[94..102], b"00000005", "length of the name with its zero");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(&bytes[116..124], b"hello\0\0\0", "name and content begin at multiples of four");
        assert_eq!(&bytes[124..130], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn what_is_written_is_read_back_by_others() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.program("bin/sh", &[7; 1001]);
        archive.file("empty", b"");
        let mut entries = Vec::new();
        let bytes = archive.finish();
        let mut rest = &bytes[..];
        loop {
            let number =
                |at: usize| usize::from_str_radix(std::str::from_utf8(&rest[at..at + 8]).unwrap(), 16).unwrap();
            let (mode, size, name_length) = (number(14), number(54), number(94));
            let name = std::str::from_utf8(&rest[110..110 + name_length - 1]).unwrap().to_owned();
            let content = (110 + name_length).next_multiple_of(4);
            rest = &rest[(content + size).next_multiple_of(4)..];
            if name == "TRAILER!!!" {
                break;
            }
            entries.push((name, mode, size));
        }
        assert!(rest.is_empty());
        assert_eq!(
            entries,
            [
                ("bin".to_owned(), 0o040_755, 0),
                ("bin/sh".to_owned(), 0o100_755, 1001),
                ("empty".to_owned(), 0o100_644, 0)
            ]
        );
    }
}
