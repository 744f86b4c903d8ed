//! The scap module in a real kernel: loaded, told apart from somebody else's, unloaded.
//!
//! These load and unload modules, so they run in a guest: `cargo xtask test` boots one, and says in `PORTWITNESS_SCAP_MODULE`
//! where the module is. One after the other: there is only one module of that name.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use portwitness_kmod::{LoadError, Modinfo, Scap, Status, UnloadError, Versions};

/// The module's file.
fn module() -> PathBuf {
    std::env::var_os("PORTWITNESS_SCAP_MODULE")
        .expect("PORTWITNESS_SCAP_MODULE names no module: run cargo xtask test")
        .into()
}

/// A kernel without the module, before and after.
struct Unloaded;

impl Unloaded {
    fn now() -> Self {
        assert_eq!(Scap::default().status(), Status::Absent, "somebody's module is loaded");
        Self
    }
}

impl Drop for Unloaded {
    fn drop(&mut self) {
        if Path::new("/sys/module/scap").exists() {
            rustix::system::delete_module(c"scap", 0o4000).expect("the module of this test stays loaded");
        }
    }
}

/// As somebody else loads it: without our mark.
fn load_as_somebody_else() {
    rustix::system::finit_module(File::open(module()).unwrap(), c"", 0).unwrap();
}

/// The module with every `from` replaced by `to`, which is as long.
fn altered(from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    assert_eq!(from.len(), to.len());
    let mut code = fs::read(module()).unwrap();
    let places: Vec<_> = (0..code.len() - from.len()).filter(|&at| code[at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "the module does not hold `{from}`");
    for at in places {
        code[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scap.ko");
    fs::write(&path, code).unwrap();
    (folder, path)
}

fn versions() -> Versions {
    Modinfo::read(&fs::read(module()).unwrap()).unwrap().versions().unwrap()
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn it_is_loaded_says_what_its_file_says_and_is_unloaded() {
    let _unloaded = Unloaded::now();
    let scap = Scap::default();
    for _ in 0..2 {
        assert_eq!(scap.load(&module()).unwrap(), versions());
        let Status::Loaded { ours: true, versions: Ok(told), users: 0, .. } = scap.status() else {
            panic!("{:?}", scap.status())
        };
        assert_eq!(told, versions());
        assert!(matches!(scap.load(&module()), Err(LoadError::Already(_))));
        assert!(scap.unload().unwrap());
        assert_eq!(scap.status(), Status::Absent);
        assert!(!Path::new("/dev/scap0").exists());
        assert!(!scap.unload().unwrap(), "there is nothing to unload any more");
    }
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn somebody_else_s_module_is_left_alone() {
    let _unloaded = Unloaded::now();
    let scap = Scap::default();
    load_as_somebody_else();
    let before = fs::metadata("/sys/module/scap").unwrap();
    let Status::Loaded { ours: false, versions: Ok(told), .. } = scap.status() else { panic!("{:?}", scap.status()) };
    assert_eq!(told, versions());
    assert!(matches!(scap.load(&module()), Err(LoadError::Foreign(_))));
    assert!(matches!(scap.unload(), Err(UnloadError::Foreign(_))));
    let after = fs::metadata("/sys/module/scap").unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&before),
        std::os::unix::fs::MetadataExt::ino(&after),
        "it was replaced"
    );
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn a_module_that_took_the_place_of_ours_is_not_ours() {
    let _unloaded = Unloaded::now();
    let scap = Scap::default();
    scap.load(&module()).unwrap();
    rustix::system::delete_module(c"scap", 0o4000).unwrap();
    load_as_somebody_else();
    assert!(matches!(scap.status(), Status::Loaded { ours: false, .. }), "{:?}", scap.status());
    assert!(matches!(scap.unload(), Err(UnloadError::Foreign(_))));
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn a_module_with_readers_stays() {
    let _unloaded = Unloaded::now();
    let scap = Scap::default();
    scap.load(&module()).unwrap();
    let reader = File::open("/dev/scap0").unwrap();
    let error = scap.unload().unwrap_err();
    assert!(matches!(error, UnloadError::InUse(1..)), "{error}");
    assert!(error.to_string().contains("end its readers first"), "{error}");
    drop(reader);
    assert!(scap.unload().unwrap());
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn a_module_of_an_unknown_api_is_refused_before_it_is_loaded() {
    let _unloaded = Unloaded::now();
    let api = versions().api.to_string();
    // None, one whose protocol nobody has read, and the next.
    for first in ["0", "5", "7"] {
        let unknown = format!("{first}{}", &api[1..]);
        let (_folder, path) = altered(&format!("api_version={api}"), &format!("api_version={unknown}"));
        let error = Scap::default().load(&path).unwrap_err();
        assert!(matches!(error, LoadError::UnknownApi { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains(&format!("API {unknown}")) && said.contains("known are API 1 with schema 1, "), "{said}");
        assert_eq!(Scap::default().status(), Status::Absent);
    }
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn a_module_that_is_not_what_its_file_says_is_unloaded_again() {
    let _unloaded = Unloaded::now();
    let api = versions().api.to_string();
    // Of the same protocol.
    let lie = format!("{}9", &api[..api.len() - 1]);
    assert_ne!(api, lie);
    let (_folder, path) = altered(&format!("api_version={api}"), &format!("api_version={lie}"));
    let error = Scap::default().load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Unlike { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains(&format!("API {lie}")) && said.contains(&format!("API {api}")), "{said}");
    assert_eq!(Scap::default().status(), Status::Absent);
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn a_module_for_another_kernel_is_refused_by_both_names() {
    let _unloaded = Unloaded::now();
    let running = rustix::system::uname().release().to_str().unwrap().to_owned();
    let other = format!("9{}", &running[1..]);
    let (_folder, path) = altered(&format!("vermagic={running}"), &format!("vermagic={other}"));
    let error = Scap::default().load(&path).unwrap_err();
    assert!(matches!(error, LoadError::OtherKernel { .. }), "{error}");
    assert!(error.to_string().contains(&other) && error.to_string().contains(&running), "{error}");
}

#[test]
#[ignore = "loads a module: cargo xtask test does it in a guest"]
fn what_the_kernel_refuses_says_why_and_is_not_there() {
    let _unloaded = Unloaded::now();
    // A symbol that no kernel has.
    let (_folder, path) = altered("tracepoint_probe_register\0", "tracepoint_probe_registeX\0");
    let error = Scap::default().load(&path).unwrap_err();
    assert!(matches!(error, LoadError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("the kernel refuses the module"), "{error}");
    assert_eq!(Scap::default().status(), Status::Absent);
}
