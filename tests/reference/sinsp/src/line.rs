//! A line of a program on libsinsp, as far as lies need to know it.

use serde_json::{Map, Value};

use crate::flat::{self, Shape};

/// An object, or anything else as it came.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    text: String,
    /// As sinsp-events has it.
    object: Option<Map<String, Value>>,
    /// What it looked like, where another program told it.
    shape: Option<Shape>,
}

impl Line {
    pub(crate) fn read(text: &str) -> Self {
        let (object, shape) = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => match flat::lift(&object) {
                Some((object, shape)) => (Some(object), Some(shape)),
                None => (Some(object), None),
            },
            _ => (None, None),
        };
        Self { text: text.into(), object, shape }
    }

    pub(crate) fn written(self) -> String {
        let object = match (self.object, &self.shape) {
            (Some(object), Some(shape)) => flat::lower(object, shape),
            (Some(object), None) => object,
            (None, _) => return self.text,
        };
        Value::Object(object).to_string()
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.text_of("type") == Some(kind)
    }

    pub(crate) fn is_event(&self) -> bool {
        self.is("event")
    }

    pub(crate) fn name(&self) -> &str {
        self.text_of("name").unwrap_or_default()
    }

    /// Whether a call was entered; sinsp-example does not tell it of every event, but only exits have results.
    pub(crate) fn enters(&self) -> bool {
        match self.text_of("dir") {
            Some(dir) => dir == ">",
            None => self.param("res").is_none(),
        }
    }

    fn text_of(&self, key: &str) -> Option<&str> {
        self.object.as_ref()?.get(key)?.as_str()
    }

    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.object.as_ref()?.get(key)?.as_i64()
    }

    /// The descriptor of a close.
    pub(crate) fn descriptor(&self) -> Option<i64> {
        if self.name() != "close" {
            return None;
        }
        self.param("fd")?.get("value")?.as_i64()
    }

    /// Of a driver that tells enters: the exit of the close with which the traffic program begins or ends fails.
    pub(crate) fn closes_bracket(&self) -> bool {
        let failed = self.param("res").and_then(|param| param.get("value")?.as_i64()) == Some(-9);
        self.name() == "close" && !self.enters() && failed
    }

    pub(crate) fn param(&self, name: &str) -> Option<&Map<String, Value>> {
        let params = self.object.as_ref()?.get("params")?.as_array()?;
        params.iter().filter_map(Value::as_object).find(|param| param.get("name").and_then(Value::as_str) == Some(name))
    }

    fn param_mut(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        let params = self.object.as_mut()?.get_mut("params")?.as_array_mut()?;
        params
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .find(|param| param.get("name").and_then(Value::as_str) == Some(name))
    }

    /// Another value of a parameter, wherever the line shows it.
    pub(crate) fn set_param(&mut self, name: &str, value: Value, text: &str, resolved: &str) {
        let Some(param) = self.param_mut(name) else { return };
        param.insert("value".into(), value);
        param.insert("text".into(), text.into());
        param.insert("resolved".into(), resolved.into());
        let shown = if resolved.is_empty() { text } else { resolved };
        self.set_field(&format!("evt.arg.{name}"), shown);
    }

    /// Without its last parameter.
    pub(crate) fn drop_param(&mut self) {
        let params = self.object.as_mut().and_then(|object| object.get_mut("params")?.as_array_mut());
        let Some(dropped) = params.and_then(Vec::pop) else { return };
        let fields = self.object.as_mut().and_then(|object| object.get_mut("fields")?.as_object_mut());
        let name = format!("evt.arg.{}", dropped["name"].as_str().unwrap_or_default());
        if let Some(field) = fields.and_then(|fields| fields.get_mut(&name)) {
            *field = Value::Null;
        }
    }

    pub(crate) fn params(&self) -> usize {
        let params = self.object.as_ref().and_then(|object| object.get("params")?.as_array());
        params.map_or(0, Vec::len)
    }

    /// Another number, where there is one.
    pub(crate) fn add(&mut self, key: &str, by: i64) {
        if let Some(number) = self.number(key) {
            self.set(key, (number + by).into());
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        if let Some(object) = &mut self.object {
            object.insert(key.into(), value);
        }
    }

    pub(crate) fn set_text(&mut self, key: &str, text: &str) {
        self.set(key, text.into());
    }

    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(object) = &mut self.object {
            object.remove(key);
        }
    }

    /// One of the library's own fields, where the line has it.
    pub(crate) fn set_field(&mut self, name: &str, text: &str) {
        let fields = self.object.as_mut().and_then(|object| object.get_mut("fields")?.as_object_mut());
        if let Some(field) = fields.and_then(|fields| fields.get_mut(name)) {
            *field = text.into();
        }
    }

    /// Where the library shows the tuple as the descriptor's name, which has none yet.
    pub(crate) fn rename_fd_field(&mut self, tuple: &str) {
        let field = |line: &Self| Some(line.object.as_ref()?.get("fields")?.get("fd.name")?.as_str()?.to_owned());
        let name = self.object.as_ref().and_then(|object| object.get("fd")?.get("name")?.as_str().map(str::to_owned));
        if field(self).is_some_and(|field| !field.is_empty() && Some(field) != name) {
            self.set_field("fd.name", tuple);
        }
    }

    pub(crate) fn add_field(&mut self, name: &str, by: i64) {
        let fields = self.object.as_ref().and_then(|object| object.get("fields")?.as_object());
        let number = fields.and_then(|fields| fields.get(name)?.as_str()?.parse::<i64>().ok());
        if let Some(number) = number {
            self.set_field(name, &(number + by).to_string());
        }
    }

    pub(crate) fn has_field(&self, name: &str) -> bool {
        self.object.as_ref().and_then(|object| object.get("fields")?.get(name)).is_some()
    }

    /// Something of the process.
    pub(crate) fn set_process(&mut self, key: &str, value: Value) {
        let process = self.object.as_mut().and_then(|object| object.get_mut("process")?.as_object_mut());
        if let Some(process) = process {
            process.insert(key.into(), value);
        }
    }

    /// Whether it is of the traffic program and its sockets, not of how it was started.
    pub(crate) fn is_of_traffic(&self) -> bool {
        const CALLS: [&str; 7] = ["socket", "bind", "listen", "connect", "accept", "accept4", "shutdown"];
        let process = self.object.as_ref().and_then(|object| object.get("process")?.as_object());
        let name = process.and_then(|process| process.get("name")?.as_str());
        CALLS.contains(&self.name()) && name.is_some_and(|name| name.starts_with("traffic"))
    }

    pub(crate) fn has_process(&self, key: &str) -> bool {
        self.object.as_ref().and_then(|object| object.get("process")?.get(key)).is_some()
    }

    pub(crate) fn process_number(&self, key: &str) -> Option<i64> {
        self.object.as_ref()?.get("process")?.get(key)?.as_i64()
    }
}
