//! A module that speaks what no reader knows.
//!
//! It takes a kernel without the module, so it is a step of its own in a guest (`cargo xtask test`).

use std::fs::{self, File};
use std::path::Path;

use portwitness_kmod::{Modinfo, Version};

use super::watched_twice;

/// Unloads the module, however the test ends.
struct Loaded;

impl Drop for Loaded {
    fn drop(&mut self) {
        rustix::system::delete_module(c"scap", 0o4000).expect("the module of this test stays loaded");
    }
}

/// As the module tells it: `major << 44 | minor << 24 | patch` (`driver/ppm_api_version.h`).
fn packed(version: Version) -> u64 {
    u64::from(version.major) << 44 | u64::from(version.minor) << 24 | u64::from(version.patch)
}

/// `movabs $VERSION, %rax`, with which the module answers that it is asked for its API (x86-64).
fn answer(version: Version) -> [u8; 10] {
    let mut code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0];
    code[2..].copy_from_slice(&packed(version).to_le_bytes());
    code
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn a_module_of_another_api_is_named_with_those_that_are_known() {
    let module = std::env::var_os("PORTWITNESS_SCAP_MODULE").expect("PORTWITNESS_SCAP_MODULE names no module");
    let mut code = fs::read(module).unwrap();
    let versions = Modinfo::read(&code).unwrap().versions().unwrap();
    let answered = answer(versions.api);
    let places: Vec<usize> = (0..code.len() - answered.len()).filter(|&at| code[at..].starts_with(&answered)).collect();
    let [place] = places[..] else { panic!("the module answers with its version at {places:?}") };
    code[place..place + answered.len()].copy_from_slice(&answer(Version { major: 7, minor: 0, patch: 1 }));
    let folder = tempfile::tempdir().unwrap();
    let altered = folder.path().join("scap.ko");
    fs::write(&altered, code).unwrap();
    assert!(!Path::new("/sys/module/scap").exists(), "somebody's module is loaded");
    rustix::system::finit_module(File::open(&altered).unwrap(), c"", 0).unwrap();
    let loaded = Loaded;
    let ran = watched_twice(&["--case", "1.1"]);
    drop(loaded);
    // Where the two are equal, the compiler has one number for API and schema.
    ran.exits_with(96).says("the module speaks API 7.0.1, schema ").says("; known are API 1 with schema 1, API 8 with");
    ran.says("cargo xtask kmod load, with --driver or --scap-src");
    assert!(ran.place.is_none(), "nothing had begun");
}
