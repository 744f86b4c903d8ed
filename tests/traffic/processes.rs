//! Threads, forks, programs, and ends of processes, with sockets that go along.

use std::ffi::CString;
use std::os::unix::fs::symlink;

use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM};
use portwitness::clock::Timestamp;
use portwitness::endpoint::Tgid;
use portwitness::history::{Arguments, Process, Statement};

use crate::address::Name;
use crate::connects::{connected, plain};
use crate::script::{accept, begin, bind, call, close, connect, end, listen, push, socket, state, write_out};
use crate::sockets::listener;

unsafe extern "C" {
    static environ: *const *const libc::c_char;
}

/// From here on this process is nobody's, without capabilities.
pub(crate) fn as_nobody() {
    // SAFETY: numbers alone.
    assert_eq!(unsafe { libc::setresuid(65_534, 65_534, 65_534) }, 0);
}

/// Four threads at once.
pub(crate) fn threads() {
    write_out();
    std::thread::scope(|scope| {
        for domain in [AF_INET, AF_INET, AF_INET6, AF_INET6] {
            scope.spawn(move || {
                begin();
                plain(domain);
                end();
            });
        }
    });
}

/// A listener of the first thread takes in the client of another.
pub(crate) fn across_threads() {
    let (fd, name) = listener(AF_INET, 16);
    write_out();
    let name = &name;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            begin();
            let client = socket(AF_INET, SOCK_STREAM, 0);
            connect(client, name);
            close(client);
            end();
        });
        let server = accept(fd, 0);
        close(server);
    });
    close(fd);
}

/// A child, which does this and ends with a status.
fn child(play: impl FnOnce() -> i32) {
    write_out();
    let before = Timestamp::now();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        begin();
        let status = play();
        state("procexit", None, Timestamp::now(), None, ended(status << 8));
        write_out();
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(status) }
    }
    assert!(pid > 0, "fork");
    state("clone", Some(pid.into()), before, Some(Timestamp::now()), Arguments::default());
    wait(pid);
}

fn ended(status: i32) -> Arguments {
    Arguments { status: Some(status.into()), ..Arguments::default() }
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status lives on.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status
}

/// A child closes its copy of a listener, and makes one of its own.
pub(crate) fn forked() {
    let (fd, _) = listener(AF_INET, 16);
    child(|| {
        close(fd);
        plain(AF_INET);
        end();
        0
    });
    close(fd);
}

/// A child of a child.
pub(crate) fn forked_twice() {
    child(|| {
        child(|| {
            plain(AF_INET6);
            end();
            4
        });
        end();
        3
    });
}

/// A child ends with a listener, a client and a server open.
pub(crate) fn exit_without_close() {
    child(|| {
        let (fd, _) = connected(AF_INET);
        accept(fd, 0);
        7
    });
}

/// A child is killed with a listener open.
pub(crate) fn killed() {
    write_out();
    let before = Timestamp::now();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        begin();
        listener(AF_INET, 16);
        write_out();
        loop {
            // SAFETY: waits for signals.
            unsafe { libc::raise(libc::SIGSTOP) };
        }
    }
    assert!(pid > 0, "fork");
    state("clone", Some(pid.into()), before, Some(Timestamp::now()), Arguments::default());
    let mut status = 0;
    // SAFETY: the status lives on; the child has stopped when the call returns.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) }, pid);
    let before = Timestamp::now();
    // SAFETY: numbers alone.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    let status = wait(pid);
    let process = Process { tgid: Tgid(pid as u32), tid: pid as u32, comm: "traffic".into() };
    push(Statement {
        call: "procexit".into(),
        process,
        parent: std::process::id(),
        result: None,
        before,
        after: Some(Timestamp::now()),
        with: ended(status),
    });
}

/// The path of another name of this program, in the working folder.
fn other_name(name: &str) -> String {
    let path = std::env::current_dir().unwrap().join(name);
    if !path.exists() {
        symlink(std::env::current_exe().unwrap(), &path).unwrap();
    }
    path.to_str().unwrap().to_owned()
}

/// execve(2); returns only when that fails.
fn execute(program: &str, arguments: &[&str]) -> i64 {
    let words: Vec<CString> = [program].iter().chain(arguments).map(|word| CString::new(*word).unwrap()).collect();
    let pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    let with = Arguments {
        program: Some(program.into()),
        arguments: Some(arguments.iter().map(|word| (*word).into()).collect()),
        ..Arguments::default()
    };
    // SAFETY: the arguments are strings and end with a null pointer.
    call("execve", with, || unsafe { libc::execve(pointers[0], pointers.as_ptr(), environ) }.into())
}

/// The same, where it succeeds: what it does is stated beforehand.
fn become_program(program: &str, arguments: &[&str]) -> ! {
    let with = Arguments {
        program: Some(program.into()),
        arguments: Some(arguments.iter().map(|word| (*word).into()).collect()),
        ..Arguments::default()
    };
    state("execve", Some(0), Timestamp::now(), None, with);
    write_out();
    let failed = execute(program, arguments);
    panic!("execve {program}: {failed}");
}

/// A child goes on as another program with a listener that it inherits, and opens one of its own.
pub(crate) fn executed() {
    child(|| {
        let (fd, _) = listener(AF_INET, 16);
        become_program(&other_name("traffic-two"), &["continue", "inherited", &fd.to_string()])
    });
}

/// Three programs in a row.
pub(crate) fn executed_twice() {
    child(|| become_program(&other_name("traffic-two"), &["continue", "again", "0"]));
}

/// Where a program goes on that was executed.
pub(crate) fn continued(step: &str, fd: i32) {
    begin();
    match step {
        "inherited" => {
            accept_nobody(fd);
            close(fd);
            plain(AF_INET);
        }
        "again" => become_program(&other_name("traffic-three"), &["continue", "last", "0"]),
        "last" => plain(AF_UNIX),
        other => panic!("no step `{other}`"),
    }
    end();
    state("procexit", None, Timestamp::now(), None, ended(0));
    write_out();
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(0) }
}

/// An accept of an inherited listener that returns at once.
fn accept_nobody(fd: i32) {
    // SAFETY: numbers alone.
    assert_ne!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }, -1);
    accept(fd, 0);
}

/// Files that are no programs, one that may be executed and one that may not.
pub(crate) fn prepare() {
    std::fs::write("text", "no program").unwrap();
    std::fs::write("garbage", "no program").unwrap();
    std::fs::set_permissions("garbage", std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

pub(crate) fn no_program() {
    execute("/nonexistent/program", &["one", "two"]);
}

pub(crate) fn no_permission_to_execute() {
    execute("./text", &[]);
}

pub(crate) fn no_format() {
    execute("./garbage", &[]);
}

/// A connection that was there before the capture; goes on when a byte comes on standard input.
pub(crate) fn hold() {
    let (fd, client) = connected(AF_INET);
    println!("ready");
    let mut byte = [0];
    assert_eq!(rustix::io::read(std::io::stdin(), &mut byte), Ok(1));
    // What was stated until now was done before anybody looked.
    crate::script::forget();
    begin();
    crate::transfers::older(fd, client);
    end();
}

/// Bound, listening, connected, accepted, closed: one of each, for filters to choose from.
pub(crate) fn one_of_each() {
    let fd = socket(AF_INET, SOCK_STREAM, 0);
    bind(fd, &Name::at("127.0.0.1:18061"));
    listen(fd, 16);
    for port in [18_061, 18_062] {
        let client = socket(AF_INET, SOCK_STREAM, 0);
        connect(client, &Name::at(&format!("127.0.0.1:{port}")));
        close(client);
    }
    let server = accept(fd, 0);
    close(server);
    close(fd);
}
