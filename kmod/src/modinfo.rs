//! What a module's file says of itself: its section `.modinfo`.

use object::{Object, ObjectSection};

use crate::version::{Version, VersionError, Versions};

/// The fields of a module, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modinfo {
    fields: Vec<(String, String)>,
}

/// A file that is not a module, or not one of scap.
#[derive(Debug, thiserror::Error)]
pub enum ModinfoError {
    /// Not an ELF object.
    #[error("not a kernel module: {0}")]
    Object(#[from] object::Error),
    /// An object without that section.
    #[error("not a kernel module: no section .modinfo")]
    NoSection,
    /// A module that lacks a field.
    #[error("the module does not say its {0}")]
    NoField(&'static str),
    /// A field that is not a version.
    #[error("the module's {field}: {error}")]
    Version {
        /// Which.
        field: &'static str,
        /// What it says.
        error: VersionError,
    },
}

impl Modinfo {
    /// Reads the section of a module, `code` being its whole file (not compressed).
    pub fn read(code: &[u8]) -> Result<Self, ModinfoError> {
        let section = object::File::parse(code)?.section_by_name(".modinfo").ok_or(ModinfoError::NoSection)?.data()?;
        Ok(Self::parse(section))
    }

    /// The value of `field`, the first where there are several.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// The modules that have to be loaded before.
    pub fn depends(&self) -> impl Iterator<Item = &str> {
        self.get("depends").unwrap_or_default().split(',').filter(|name| !name.is_empty())
    }

    /// The release of the kernel that it was built for.
    pub fn kernel(&self) -> Result<&str, ModinfoError> {
        let magic = self.get("vermagic").and_then(|magic| magic.split(' ').next());
        magic.ok_or(ModinfoError::NoField("vermagic"))
    }

    /// The versions of scap's interface.
    pub fn versions(&self) -> Result<Versions, ModinfoError> {
        Ok(Versions { api: self.version("api_version")?, schema: self.version("schema_version")? })
    }

    fn version(&self, field: &'static str) -> Result<Version, ModinfoError> {
        let text = self.get(field).ok_or(ModinfoError::NoField(field))?;
        text.parse().map_err(|error| ModinfoError::Version { field, error })
    }

    /// `NAME=VALUE`, each ended by a zero byte; more zeroes may lie between.
    fn parse(section: &[u8]) -> Self {
        let entries = section.split(|&byte| byte == 0).map(String::from_utf8_lossy);
        let fields = entries.filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.into(), value.into())));
        Self { fields: fields.collect() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SCAP: &[u8] =
        b"schema_version=4.1.0\0api_version=8.0.4\0\0\0parm=verbose:Enable (default=no)\0depends=virtio,9pnet\0\
                          vermagic=6.1.0-56-amd64 SMP preempt mod_unload modversions \0";

    #[test]
    fn fields_are_found_by_name() {
        let info = Modinfo::parse(SCAP);
        assert_eq!(info.get("parm"), Some("verbose:Enable (default=no)"));
        assert_eq!(info.depends().collect::<Vec<_>>(), ["virtio", "9pnet"]);
        assert_eq!(info.kernel().unwrap(), "6.1.0-56-amd64");
        assert_eq!(info.versions().unwrap().to_string(), "API 8.0.4, schema 4.1.0");
    }

    #[test]
    fn what_is_lacking_or_wrong_is_named() {
        let info = Modinfo::parse(b"api_version=eight\0depends=\0");
        assert_eq!(info.depends().count(), 0);
        assert_eq!(info.kernel().unwrap_err().to_string(), "the module does not say its vermagic");
        assert!(info.versions().unwrap_err().to_string().contains("api_version: `eight`"));
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(Modinfo::read(b"no module"), Err(ModinfoError::Object(_))));
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(matches!(Modinfo::read(&own), Err(ModinfoError::NoSection)));
    }
}
