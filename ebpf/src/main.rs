//! The eBPF programs of portwitness: what sockets, processes and system calls do, as records on one ring buffer.
//!
//! Each probe exists for every rung of the ladder (BTF tracepoint, raw tracepoint, classic tracepoint) around one body;
//! the harness loads one rung. On any other target than eBPF this is an empty program.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod causes;
#[cfg(target_arch = "bpf")]
mod emit;
#[cfg(target_arch = "bpf")]
mod holders;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod process_tree;
#[cfg(target_arch = "bpf")]
mod socket_state;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// The kernel gives its tracing helpers to programs under a GPL-compatible licence alone.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Nothing here panics; the language asks for a handler.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
