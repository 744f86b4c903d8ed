//! The ways to lie.

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::line::Line;

/// A way to lie, each about one event of what the traffic program states, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Another descriptor.
    WrongFd,
    /// A call that succeeded is said to have failed.
    WrongResult,
    /// Another port in a tuple.
    WrongTuple,
    /// Another address.
    WrongAddress,
    /// Another backlog.
    WrongBacklog,
    /// A parameter less.
    DroppedParameter,
    /// An event is left out.
    Missing,
    /// An event comes twice.
    Doubled,
    /// An event that never was.
    Invented,
    /// Two events in the wrong order.
    Reordered,
    /// Another thread.
    WrongThread,
    /// Another process.
    WrongProcess,
    /// Another parent.
    WrongParent,
    /// Another program.
    WrongProgram,
    /// A field of the line is left out.
    DroppedField,
    /// A field that no schema knows.
    ExtraField,
    /// A number as text.
    WrongType,
    /// One of the library's own fields says something else than the event.
    WrongField,
    /// Every event is 50 ms late by its clock.
    SkewedClock,
    /// A line that is none.
    Garbage,
    /// Half of a line.
    CutLine,
    /// The driver is said to have lost events, more at every fence.
    CountedDrops,
    /// The program is of a form that nobody knows.
    UnknownForm,
    /// The driver has an interface that nobody knows.
    UnknownApi,
    /// The program ends.
    SilentDeath,
    /// The program lives on, and says nothing more.
    FallsSilent,
}

impl Fault {
    /// All of them.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As the command line has it.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether something can be done to this line, which is an event.
    pub(crate) fn suits(self, line: &Line) -> bool {
        let number = |name: &str| line.param(name).and_then(|param| param.get("value")?.as_i64());
        match self {
            // A descriptor that a call was given, not one that it returned.
            Self::WrongFd => number("fd").is_some_and(|fd| fd >= 0) && (line.enters() || number("res").is_some()),
            Self::WrongResult => !line.enters() && number("res") == Some(0) && line.name() != "execve",
            Self::WrongTuple => line.param("tuple").is_some_and(|param| param["value"].get("destination").is_some()),
            Self::WrongAddress => line.param("addr").is_some_and(|param| param["value"].get("endpoint").is_some()),
            Self::WrongBacklog => number("backlog").is_some(),
            Self::DroppedParameter => line.params() > 1 && line.name() != "execve",
            Self::WrongField => FIELDS.iter().any(|(name, _)| line.has_field(name)),
            Self::Invented | Self::Reordered => true,
            // What not every program tells of every event.
            _ if matches!(line.name(), "execve" | "clone") => false,
            Self::WrongThread => line.number("tid").is_some(),
            Self::DroppedField | Self::WrongType => line.number("cpu").is_some(),
            Self::WrongProcess => line.has_process("pid"),
            Self::WrongParent => line.has_process("ppid"),
            Self::WrongProgram => line.has_process("exe"),
            _ => true,
        }
    }

    /// Whether the next event is needed, too.
    pub(crate) fn waits(self) -> bool {
        matches!(self, Self::Invented | Self::Reordered)
    }

    /// Makes a lie of a line that suits.
    pub(crate) fn apply(self, line: &mut Line) {
        match self {
            Self::WrongFd => {
                let fd = line.param("fd").and_then(|param| param.get("value")?.as_i64()).unwrap_or(0) + 1;
                line.set_param("fd", fd.into(), &fd.to_string(), "");
            }
            Self::WrongResult => {
                line.set_param("res", (-5).into(), "-5", "EIO");
                line.set_field("evt.res", "EIO");
                line.set_field("evt.failed", "true");
            }
            Self::WrongTuple => {
                let mut tuple = line.param("tuple").map_or(Value::Null, |param| param["value"].clone());
                let source = &mut tuple["source"];
                match source.get("port").and_then(Value::as_u64) {
                    Some(port) => source["port"] = (port ^ 1).into(),
                    None => tuple["path"] = json!("elsewhere"),
                }
                let text = told(&tuple);
                line.rename_fd_field(&text);
                line.set_param("tuple", tuple, &text, "");
            }
            Self::WrongAddress => {
                let mut address = line.param("addr").map_or(Value::Null, |param| param["value"].clone());
                address["endpoint"]["port"] = 9.into();
                let text = told_end(&address["endpoint"]);
                line.set_param("addr", address, &text, "");
            }
            Self::WrongBacklog => line.set_param("backlog", 99.into(), "99", ""),
            Self::DroppedParameter => line.drop_param(),
            Self::WrongThread => {
                line.add("tid", 1000);
                line.add_field("thread.tid", 1000);
            }
            Self::WrongProcess => {
                let pid = line.process_number("pid").unwrap_or(0) + 1;
                line.set_process("pid", pid.into());
                line.set_field("proc.pid", &pid.to_string());
            }
            Self::WrongParent => {
                line.set_process("ppid", 1.into());
                line.set_field("proc.ppid", "1");
            }
            Self::WrongProgram => line.set_process("exe", "/usr/bin/other".into()),
            Self::DroppedField => line.remove("cpu"),
            Self::ExtraField => line.set_text("colour", "red"),
            Self::WrongType => line.set_text("cpu", "0"),
            Self::WrongField => {
                if let Some((name, other)) = FIELDS.iter().find(|(name, _)| line.has_field(name)) {
                    line.set_field(name, other);
                }
            }
            _ => {}
        }
    }
}

/// Fields that stand beside the same in the rest of the line, and something else that they may say: one program has this, another that.
const FIELDS: [(&str, &str); 3] = [("proc.name", "other"), ("container.id", "3f4e5d6c7b8a"), ("evt.arg.res", "other")];

fn told(tuple: &Value) -> String {
    match tuple.get("path").and_then(Value::as_str) {
        Some(path) => format!("ff->ff {path}"),
        None => format!("{}->{}", told_end(&tuple["source"]), told_end(&tuple["destination"])),
    }
}

fn told_end(end: &Value) -> String {
    format!("{}:{}", end["address"].as_str().unwrap_or_default(), end["port"])
}
