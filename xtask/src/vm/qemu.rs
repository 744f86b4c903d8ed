//! The command line of QEMU.

use std::path::Path;
use std::process::Command;

use super::emulator::Emulator;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor itself.
    Kvm,
    /// Translation, on one thread: with more, a kernel that patches its own code falls over now and then.
    Tcg,
}

impl Accelerator {
    /// Its name, as QEMU has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// A machine to be started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Machine<'a> {
    pub(super) emulator: &'a Emulator,
    pub(super) accelerator: Accelerator,
    /// Whether the guest's clock counts instructions, a ns each.
    pub(super) counted: bool,
    /// Virtual processors.
    pub(super) cpus: u32,
    /// MiB.
    pub(super) memory: u32,
    /// More words for the kernel's command line.
    pub(super) append: &'a str,
    /// The kernel.
    pub(super) image: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Folder that the guest may write to, as `/out`.
    pub(super) out: &'a Path,
    /// File for what the kernel prints.
    pub(super) console: &'a Path,
    /// File for what the guest's first process tells.
    pub(super) control: &'a Path,
}

impl Machine<'_> {
    /// QEMU for this machine: its standard output and error are to be pipes, the guest's command writes into them.
    pub(super) fn command(&self) -> Command {
        let mut command = self.emulator.command();
        command.args(["-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        let (accelerator, cpu, clock) = match self.accelerator {
            Accelerator::Kvm => ("kvm", "host", ""),
            // Else the guest takes hpet, and every look at the clock leaves the guest.
            Accelerator::Tcg => ("tcg,thread=single", "max", " clocksource=tsc tsc=reliable no_timer_check"),
        };
        command.args(["-accel", accelerator, "-cpu", cpu]);
        command.arg("-smp").arg(self.cpus.to_string()).arg("-m").arg(format!("{}M", self.memory));
        command.arg("-kernel").arg(self.image).arg("-initrd").arg(self.initramfs);
        command.arg("-append").arg(format!("console=ttyS0 panic=-1 quiet{clock} {}", self.append).trim_end());
        if self.counted {
            command.args(["-icount", "shift=0"]);
        }
        command.arg("-serial").arg(format!("file:{}", self.console.display()));
        command.args(["-device", "virtio-serial-pci,max_ports=4"]);
        let control = self.control.display().to_string();
        // In this order: /dev/vport0p1, 2, 3 of the guest.
        let ports = [("control", control.as_str()), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")];
        for (number, (name, path)) in ports.into_iter().enumerate() {
            command.arg("-chardev").arg(format!("file,id={name},path={},append=on", option(path)));
            command.arg("-device").arg(format!("virtserialport,chardev={name},nr={},name={name}", number + 1));
        }
        for (tag, path, rights) in [("root", Path::new("/"), ",readonly=on,multidevs=remap"), ("out", self.out, "")] {
            let path = option(&path.display().to_string());
            command.arg("-fsdev").arg(format!("local,id={tag},path={path},security_model=none{rights}"));
            command.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
        }
        command
    }
}

/// As the value of one of QEMU's options: commas doubled.
fn option(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(accelerator: Accelerator) -> String {
        let machine = Machine {
            emulator: &Emulator::Installed,
            accelerator,
            counted: false,
            cpus: 2,
            memory: 4096,
            append: "panic_on_oops=1",
            image: Path::new("/k/vmlinuz"),
            initramfs: Path::new("/k/initramfs"),
            out: Path::new("/a,b/out"),
            console: Path::new("/k/console"),
            control: Path::new("/k/control"),
        };
        machine.command().get_args().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_hosts_root_is_read_only_and_the_out_folder_is_not() {
        let args = args(Accelerator::Tcg);
        assert!(args.contains("local,id=root,path=/,security_model=none,readonly=on"), "{args}");
        assert!(args.contains("local,id=out,path=/a,,b/out,security_model=none -device"), "{args}");
    }

    #[test]
    fn translation_runs_on_one_thread_with_the_tsc() {
        let tcg = args(Accelerator::Tcg);
        assert!(tcg.contains("-accel tcg,thread=single -cpu max") && tcg.contains("clocksource=tsc"), "{tcg}");
        let kvm = args(Accelerator::Kvm);
        assert!(kvm.contains("-accel kvm -cpu host") && !kvm.contains("clocksource"), "{kvm}");
    }

    #[test]
    fn ports_come_in_the_order_of_the_guests_scripts() {
        let args = args(Accelerator::Tcg);
        for port in ["chardev=control,nr=1", "chardev=stdout,nr=2", "chardev=stderr,nr=3"] {
            assert!(args.contains(port), "{port} in {args}");
        }
        let (init, guest) = (include_str!("init.sh"), include_str!("guest.sh"));
        assert!(init.contains("exec 3> /dev/vport0p1") && guest.contains("> /dev/vport0p2 2> /dev/vport0p3"));
    }
}
