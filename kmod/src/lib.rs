//! Falco's scap kernel module: from its source to a loaded module and back, without touching one that is somebody else's.
//!
//! [`Source`] knows a driver's versions, [`Build`] makes `scap.ko` of it for some kernel headers, [`Modinfo`] reads what a module says
//! of itself, and [`Scap`] is the one in the running kernel.

mod build;
mod device;
mod headers;
mod loaded;
mod modinfo;
mod root;
mod source;
mod version;

pub use build::{Build, BuildError};
pub use headers::{Headers, NoHeaders};
pub use loaded::{LoadError, Scap, Status, UnloadError};
pub use modinfo::{Modinfo, ModinfoError};
pub use root::command_in;
pub use source::{Source, SourceError};
pub use version::{Protocol, Version, VersionError, Versions};
