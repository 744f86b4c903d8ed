//! What is observed is not touched: nobody looks at its descriptors in /proc, where a look holds what is open for a moment.

use std::fs::File;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

use portwitness::endpoint::{Endpoint, Tgid};
use portwitness::history::{Event, Listening, Recorder};
use portwitness::observers::ebpf::{EbpfObserver, EbpfSettings, Rung};
use portwitness::observers::{Focus, Observer, Scope, procfs};
use rustix::fs::inotify;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::stage::{Actor, alone, scope};

/// Sees who lists the descriptors of a process, as all do that look at them.
struct Guard {
    events: OwnedFd,
    // The kernel forgets a folder of /proc that nobody uses, and whom to tell with it.
    _folder: File,
}

impl Guard {
    /// Watches a process through a /proc of this thread's own: what others on this machine look at is none of it.
    fn over(process: Tgid) -> Self {
        // SAFETY: CLONE_NEWNS changes the thread's mounts alone, no memory and no file descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        mount("proc", "/proc", "proc", MountFlags::empty(), None).unwrap();
        let path = format!("/proc/{}/fd", process.0);
        let folder = File::open(&path).unwrap();
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&events, &path, inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS).unwrap();
        Self { events, _folder: folder }
    }

    /// Whether anybody has listed them since the last time.
    fn saw(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        inotify::Reader::new(&self.events, &mut buffer).next().is_ok()
    }
}

fn start(focus: Focus, rung: Rung) -> (Recorder, Box<EbpfObserver>) {
    let scope = Scope { focus, ..scope() };
    let recorder = scope.recorder.clone();
    let settings = EbpfSettings { rung: Some(rung), ..EbpfSettings::default() };
    (recorder, Box::new(EbpfObserver::start(scope, settings).unwrap()))
}

fn seeds(recorder: &Recorder) -> Vec<Listening> {
    let seed = |event| if let Event::Listening(it) = event { Some(it) } else { None };
    recorder.history().records.into_iter().filter_map(|record| seed(record.event)).collect()
}

#[test]
fn who_listens_and_what_is_held_is_told_without_a_look_at_descriptors() {
    alone(|| {
        const PORT: u16 = 7551;
        let mut actor = Actor::fork(|turn| {
            // Its socket lies behind more descriptors than are looked at in one go, and it holds it twice.
            let _many: Vec<File> = (0..600).map(|_| File::open("/dev/null").unwrap()).collect();
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
            let _again = listener.try_clone().unwrap();
            turn.pause();
        });
        actor.reached();
        let process = actor.tgid();
        let guard = Guard::over(process);
        for rung in Rung::ALL {
            for focus in [Focus::Run { parent: std::process::id() }, Focus::Processes(vec![process.0])] {
                let (recorder, mut observer) = start(focus.clone(), rung);
                let seeds = seeds(&recorder);
                let [seed] = &seeds[..] else { panic!("one seed: {seeds:?}") };
                assert_eq!((seed.local.port(), seed.process.as_ref().unwrap().tgid), (PORT, process), "{focus:?}");
                let held = observer.sockets_held(&[process.0, u32::MAX].into()).unwrap();
                assert_eq!((held[&process.0], held[&u32::MAX]), (2, 0));
                observer.stop().unwrap();
                assert!(!guard.saw(), "{rung} {focus:?} looked at the descriptors of {process:?}");
            }
        }
        // The guard does see those who look.
        assert_eq!(procfs::taken(Endpoint::new(Ipv4Addr::LOCALHOST.into(), PORT)).unwrap().by.unwrap().tgid, process);
        assert!(guard.saw());
        actor.go();
        assert_eq!(actor.ended(), Some(0));
    });
}
