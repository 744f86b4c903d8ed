//! The library's own fields beside the rest of an event: two ways by which it tells the same.

use serde_json::Value;

use super::event::Seen;
use super::story::Story;
use crate::checks::verdict::Verdict;

/// Whether every field that was asked for agrees with the event that it stands in.
pub(super) fn fields(story: &Story<'_>) -> Verdict {
    let mut checked = 0;
    for seen in &story.stream {
        let Some(fields) = seen.fields() else { continue };
        for (name, value) in fields {
            let wanted = if seen.is_flat() { wanted_flat(name, seen, fields) } else { wanted(name, seen, fields) };
            let Some(wanted) = wanted else { continue };
            checked += 1;
            let text = (!value.is_null()).then(|| text_of(value));
            let text = text.as_deref();
            if wanted.iter().any(|wanted| wanted.as_deref() == text) {
                continue;
            }
            let shown = |text: Option<&str>| text.map_or("no value".into(), |text| format!("`{text}`"));
            let wanted: Vec<String> = wanted.iter().map(|wanted| shown(wanted.as_deref())).collect();
            let expected = format!("the field {name} = {} in `{}`", wanted.join(" or "), seen.title());
            return Verdict::fail(expected, shown(text)).with_records(vec![seen.told()]);
        }
    }
    if checked == 0 { Verdict::unknown("no event has fields beside its own") } else { Verdict::Pass }
}

/// The same in a line that is made of fields: most are all that the line tells of something.
fn wanted_flat(name: &str, seen: &Seen<'_>, fields: &serde_json::Map<String, Value>) -> Option<Vec<Option<String>>> {
    // `<4t>127.0.0.1:80`: what kind of descriptor it is, and its name.
    let described = || {
        let params = seen.params();
        let resolved = params.iter().find(|param| param.name == "fd")?.resolved.to_string();
        let (kind, fd_name) = resolved.strip_prefix('<')?.split_once('>')?;
        Some((kind.to_owned(), fd_name.to_owned()))
    };
    match name {
        "fd.name" => {
            let tuple = seen.params().into_iter().find(|param| param.name == "tuple");
            Some([Some(described()?.1)].into_iter().chain(tuple.map(|tuple| Some(tuple.text.into()))).collect())
        }
        "fd.type" => {
            let kinds = [("4", "ipv4"), ("6", "ipv6"), ("u", "unix"), ("f", "file")];
            let (kind, _) = described()?;
            let (_, kind) = kinds.iter().find(|(letter, _)| kind.starts_with(letter))?;
            Some(vec![Some((*kind).into())])
        }
        "container.id" | "evt.res" | "evt.failed" => wanted(name, seen, fields),
        _ if name.starts_with("evt.arg.") => wanted(name, seen, fields),
        _ => None,
    }
}

/// What a field may say, in the event that it stands in; none for a field of which nothing is known.
fn wanted(name: &str, seen: &Seen<'_>, fields: &serde_json::Map<String, Value>) -> Option<Vec<Option<String>>> {
    let line = &seen.event.line;
    let own = |key: &str| line.get(key).map(text_of);
    let process = |key: &str| Some(vec![Some(text_of(seen.process(key)?))]);
    let params = seen.params();
    let param = |name: &str| params.iter().find(|param| param.name == name);
    match name {
        "evt.type" => Some(vec![Some(seen.name.into())]),
        "evt.dir" => Some(vec![own("dir")]),
        "evt.num" => Some(vec![own("num")]),
        "thread.tid" => Some(vec![own("tid")]),
        "proc.name" => process("name"),
        "proc.pid" => process("pid"),
        "proc.ppid" => process("ppid"),
        // Outside of containers.
        "container.id" => Some(vec![Some("host".into())]),
        "fd.name" => {
            let own = match line.get("fd") {
                Some(Value::Null) => vec![None, Some(String::new())],
                _ => vec![Some(seen.fd_name()?.into())],
            };
            // The older library shows the tuple of a connect or accept even where it did not come to one.
            Some(own.into_iter().chain(param("tuple").map(|tuple| Some(tuple.text.to_string()))).collect())
        }
        "fd.type" => Some(match line.get("fd") {
            Some(Value::Null) => vec![None],
            fd => vec![Some(fd?.get("kind")?.as_str()?.into())],
        }),
        // A descriptor shows as what it is where it is known, an error by its name.
        _ => match name.strip_prefix("evt.arg.") {
            Some(arg) => Some(match param(arg) {
                None => vec![None],
                Some(param) if param.resolved.is_empty() => vec![Some(param.text.to_string())],
                Some(param) => vec![Some(param.resolved.to_string())],
            }),
            None if name == "evt.failed" => match seen.result() {
                Some(result) => Some(vec![Some((result < 0).to_string())]),
                // An enter has not failed; the newer library shows nothing.
                None => Some(vec![Some("false".into()), None]),
            },
            None if name == "evt.res" => {
                let failed = fields.get("evt.arg.res").and_then(Value::as_str).map(str::to_owned);
                match seen.result() {
                    Some(result) if result < 0 => Some(vec![Some(seen.errno_name().or(failed)?)]),
                    Some(_) => Some(vec![Some("SUCCESS".into())]),
                    None => Some(vec![None]),
                }
            }
            None => None,
        },
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::history::{SinspEvent, SinspFormat};

    #[test]
    fn fields_of_a_flat_line_are_compared_with_its_parameters() {
        let line = json!({
            "evt.args": "fd=-13(EACCES) how=2 ", "evt.dir": "<", "evt.type": "accept", "container.id": "host",
            "evt.failed": true, "evt.arg.how": "2", "evt.arg.backlog": null, "proc.name": "a"
        });
        let event =
            |line: &Value| SinspEvent { happened: None, give_or_take_ns: 0, line: line.clone(), flaws: Vec::new() };
        let wanted = |line: &Value, name: &str| {
            let event = event(line);
            let seen = Seen::of(&event, SinspFormat::Sysdig);
            seen.fields().and_then(|fields| wanted_flat(name, &seen, fields))
        };
        let one = |text: &str| Some(vec![Some(text.to_owned())]);
        assert_eq!(wanted(&line, "evt.failed"), one("true"));
        assert_eq!(wanted(&line, "evt.res"), one("EACCES"));
        assert_eq!(wanted(&line, "evt.arg.fd"), one("EACCES"));
        assert_eq!(wanted(&line, "evt.arg.how"), one("2"));
        assert_eq!(wanted(&line, "evt.arg.backlog"), Some(vec![None]));
        assert_eq!(wanted(&line, "container.id"), one("host"));
        // That is all that is told of the name and the descriptor.
        assert_eq!(
            (wanted(&line, "proc.name"), wanted(&line, "fd.name"), wanted(&line, "fd.type")),
            (None, None, None)
        );
        let line = json!({"evt.args": "fd=4(<6t>::1:80) backlog=5 ", "evt.dir": ">", "evt.type": "listen"});
        assert_eq!((wanted(&line, "fd.name"), wanted(&line, "fd.type")), (one("::1:80"), one("ipv6")));
        assert_eq!(wanted(&line, "evt.failed"), Some(vec![Some("false".into()), None]));
    }
}
