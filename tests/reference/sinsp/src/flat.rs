//! Lines that are the library's fields, one beside the other (sysdig, sinsp-example), as sinsp-events would have them, and back.

use serde_json::{Map, Value, json};

/// The members that such a line has for those of sinsp-events, each with its place there.
const NAMES: [(&str, &str); 13] = [
    ("evt.num", "num"),
    ("evt.outputtime", "ts"),
    ("evt.time", "ts"),
    ("evt.cpu", "cpu"),
    ("thread.tid", "tid"),
    ("evt.dir", "dir"),
    ("evt.type", "name"),
    ("proc.pid", "process.pid"),
    ("proc.ppid", "process.ppid"),
    ("proc.name", "process.name"),
    ("proc.exepath", "process.exe"),
    ("proc.exe", "process.exe"),
    ("proc.cmdline", "process.command"),
];

/// Where the parameters stand, all in one text.
const PARAMS: [&str; 2] = ["evt.args", "evt.info"];

/// The names that a line had.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    names: Vec<(&'static str, &'static str)>,
    params: &'static str,
    /// Newer libraries end the text of the parameters with the last of them, older ones with a space.
    ends_with_space: bool,
    fields: Vec<String>,
}

/// Takes a line apart; `None` for one that is no such line.
pub(crate) fn lift(line: &Map<String, Value>) -> Option<(Map<String, Value>, Shape)> {
    let params = PARAMS.into_iter().find(|key| line.contains_key(*key))?;
    let text = line.get(params)?.as_str()?;
    let mut shape = Shape { names: Vec::new(), params, ends_with_space: text.ends_with(' '), fields: Vec::new() };
    let mut lifted = Map::new();
    lifted.insert("type".into(), json!("event"));
    lifted.insert("params".into(), split(text).into());
    let (mut process, mut fields) = (Map::new(), Map::new());
    for (key, value) in line.iter().filter(|(key, _)| *key != params) {
        match NAMES.into_iter().find(|(name, _)| name == key) {
            Some((name, place)) => {
                shape.names.push((name, place));
                let (map, place) = match place.strip_prefix("process.") {
                    Some(place) => (&mut process, place),
                    None => (&mut lifted, place),
                };
                map.insert(place.into(), value.clone());
            }
            None => {
                shape.fields.push(key.clone());
                fields.insert(key.clone(), value.clone());
            }
        }
    }
    lifted.insert("process".into(), process.into());
    lifted.insert("fields".into(), fields.into());
    Some((lifted, shape))
}

/// Puts it together again; what was added to it in the meantime stays as it is.
pub(crate) fn lower(mut lifted: Map<String, Value>, shape: &Shape) -> Map<String, Value> {
    let mut line = Map::new();
    let params = lifted.remove("params").unwrap_or_default();
    let mut text = join(params.as_array().map(Vec::as_slice).unwrap_or_default());
    if !shape.ends_with_space {
        text.truncate(text.trim_end().len());
    }
    line.insert(shape.params.into(), text.into());
    let mut process = lifted.remove("process").unwrap_or_default();
    let mut fields = lifted.remove("fields").unwrap_or_default();
    lifted.remove("type");
    for (name, place) in &shape.names {
        let value = match place.strip_prefix("process.") {
            Some(place) => process.get_mut(place).map(Value::take),
            None => lifted.remove(*place),
        };
        line.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    for key in &shape.fields {
        let value = match fields.get_mut(key).map(Value::take) {
            // The one field that is no text.
            Some(Value::String(text)) if key == "evt.failed" => Some(Value::Bool(text == "true")),
            value => value,
        };
        line.extend(value.map(|value| (key.clone(), value)));
    }
    line.extend(lifted);
    line
}

/// `fd=3(<4t>127.0.0.1:80) backlog=16 `
fn split(text: &str) -> Vec<Value> {
    let is_name =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let mut params: Vec<(String, String)> = Vec::new();
    for word in text.trim_end().split(' ') {
        match (word.split_once('='), params.last_mut()) {
            (Some((name, value)), _) if is_name(name) => params.push((name.into(), value.into())),
            (_, Some((_, last))) => *last = format!("{last} {word}"),
            (_, None) => {}
        }
    }
    params.into_iter().map(|(name, shown)| param(&name, &shown)).collect()
}

fn param(name: &str, shown: &str) -> Value {
    let (text, resolved) = match shown.strip_suffix(')').and_then(|inner| inner.split_once('(')) {
        Some((text, resolved)) => (text, resolved),
        None => (shown, ""),
    };
    let value = match name {
        "addr" => end(text).map(|end| json!({"endpoint": end})),
        "tuple" => {
            text.split_once("->").and_then(|(from, to)| Some(json!({"source": end(from)?, "destination": end(to)?})))
        }
        _ => text.parse::<i64>().ok().map(Value::from),
    };
    json!({"name": name, "value": value, "text": text, "resolved": resolved})
}

/// `127.0.0.1:80`, and an IPv6 address without brackets.
fn end(text: &str) -> Option<Value> {
    let (address, port) = text.rsplit_once(':')?;
    address.parse::<std::net::IpAddr>().ok()?;
    Some(json!({"address": address, "port": port.parse::<u16>().ok()?}))
}

fn join(params: &[Value]) -> String {
    let text = |param: &Value, key: &str| param.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown = |param: &Value| {
        let (name, value, resolved) = (text(param, "name"), text(param, "text"), text(param, "resolved"));
        if resolved.is_empty() { format!("{name}={value} ") } else { format!("{name}={value}({resolved}) ") }
    };
    params.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was() {
        for text in [
            r#"{"container.id":"host","evt.args":"fd=5(<u>ff->fe a b) tuple=ff->fe a b queuepct=0 ","evt.cpu":0,"evt.dir":"<","evt.failed":false,"evt.num":4,"evt.outputtime":9,"evt.type":"accept","fd.name":null,"proc.name":"traffic","proc.pid":7,"thread.tid":7}"#,
            r#"{"evt.args":"res=-111(ECONNREFUSED) tuple=::1:4->::1:5 ","evt.category":"net","evt.num":4,"evt.time":9,"evt.type":"connect","proc.exe":"a","proc.pid":7}"#,
            r#"{"evt.cpu":0,"evt.info":"","evt.num":4,"evt.type":"accept"}"#,
            r#"{"evt.args":"res=0 fd=4(<f>/etc/a b)","evt.cpu":1,"evt.num":6,"evt.time":9,"evt.type":"close","thread.tid":7}"#,
        ] {
            let line: Map<String, Value> = serde_json::from_str(text).unwrap();
            let (lifted, shape) = lift(&line).unwrap();
            assert_eq!(lower(lifted, &shape), line);
        }
    }

    #[test]
    fn what_it_says_is_found_where_sinsp_events_has_it() {
        let text = r#"{"evt.args":"res=0 tuple=127.0.0.1:4->127.0.0.1:5 ","evt.num":4,"evt.time":9,"evt.type":"connect","proc.pid":7}"#;
        let (lifted, _) = lift(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!((&lifted["num"], &lifted["ts"], &lifted["name"]), (&json!(4), &json!(9), &json!("connect")));
        assert_eq!(lifted["process"], json!({"pid": 7}));
        assert_eq!(lifted["params"][0], json!({"name": "res", "value": 0, "text": "0", "resolved": ""}));
        assert_eq!(lifted["params"][1]["value"]["source"], json!({"address": "127.0.0.1", "port": 4}));
        assert!(lift(&serde_json::from_str(r#"{"type":"event","params":[]}"#).unwrap()).is_none());
    }
}
