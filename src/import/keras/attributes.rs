//! The attributes of a layer, read from its JSON with errors that name the layer, the attribute and its value.
//!
//! Forms alone, such as one integer for both axes; which attributes a layer has is `config`'s knowledge.

use serde_json::Value;

use super::KerasError;
use super::graph::Config;
use crate::net::Padding2d;

/// Largest axis of a feature map or kernel.
pub(super) const MAX_AXIS: u64 = 1 << 20;

/// Characters of a JSON value shown in a message.
const SHOWN: usize = 80;

/// A layer's attributes, with errors that name the layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    pub layer: &'a str,
    pub class: &'a str,
    pub config: &'a Config,
}

impl Attributes<'_> {
    /// The error of an attribute whose value cannot be built.
    pub fn unsupported(&self, attribute: &str, value: &Value, supported: &str) -> KerasError {
        KerasError::Unsupported {
            layer: self.layer.to_owned(),
            class: self.class.to_owned(),
            attribute: attribute.to_owned(),
            value: brief(value),
            supported: supported.to_owned(),
        }
    }

    /// The error of an attribute that must be there.
    pub fn missing(&self, attribute: &str, expected: &str) -> KerasError {
        KerasError::MissingAttribute {
            layer: self.layer.to_owned(),
            class: self.class.to_owned(),
            attribute: attribute.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// Refuses any value but `supported`, which also stands for an absent or null attribute.
    pub fn only(&self, attribute: &str, supported: &Value) -> Result<(), KerasError> {
        match self.config.get(attribute) {
            Some(value) if !value.is_null() && value != supported => {
                Err(self.unsupported(attribute, value, &brief(supported)))
            }
            _ => Ok(()),
        }
    }

    pub fn ones(&self, attribute: &str) -> Result<(), KerasError> {
        match self.pair(attribute)? {
            None | Some([1, 1]) => Ok(()),
            Some(_) => Err(self.unsupported(attribute, &self.config[attribute], "[1, 1]")),
        }
    }

    /// One integer for both axes, or `[rows, columns]`; each at least 1.
    pub fn pair(&self, attribute: &str) -> Result<Option<[usize; 2]>, KerasError> {
        let Some(value) = self.config.get(attribute) else {
            return Ok(None);
        };
        let both = || match value {
            Value::Array(axes) => match &axes[..] {
                [rows, columns] => Some([axis(rows, 1)?, axis(columns, 1)?]),
                _ => None,
            },
            single => axis(single, 1).map(|size| [size, size]),
        };
        let supported = || format!("one or two integers from 1 to {MAX_AXIS}");
        both().map(Some).ok_or_else(|| self.unsupported(attribute, value, &supported()))
    }

    pub fn input_shape(&self) -> Result<Vec<usize>, KerasError> {
        let attribute = if self.config.contains_key("batch_shape") { "batch_shape" } else { "batch_input_shape" };
        let supported = "the input's shape, [null, axis, ...]";
        let value = self.config.get(attribute).ok_or_else(|| self.missing(attribute, supported))?;
        value
            .as_array()
            .filter(|axes| (2..=4).contains(&axes.len()))
            .and_then(|axes| axes[1..].iter().map(|size| axis(size, 1)).collect())
            .ok_or_else(|| self.unsupported(attribute, value, "[null, axis, ...] of 1 to 3 known axes"))
    }

    pub fn target_shape(&self) -> Result<Vec<Option<usize>>, KerasError> {
        let value = self.config.get("target_shape").ok_or_else(|| self.missing("target_shape", "a list of axes"))?;
        let supported = || self.unsupported("target_shape", value, "1 to 3 axes, one of them -1 at most");
        let axes = value.as_array().filter(|axes| (1..=3).contains(&axes.len())).ok_or_else(supported)?;
        let parsed = axes.iter().map(|size| match size.as_i64() {
            Some(-1) => Ok(None),
            _ => axis(size, 1).map(Some).ok_or_else(supported),
        });
        let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
        if parsed.iter().filter(|size| size.is_none()).count() > 1 { Err(supported()) } else { Ok(parsed) }
    }

    /// `p`, `[rows, columns]`, or `[[top, bottom], [left, right]]`.
    pub fn zero_padding(&self) -> Result<Padding2d, KerasError> {
        let one = Value::from(1);
        let value = self.config.get("padding").unwrap_or(&one);
        let sides = |value: &Value| match value {
            Value::Array(sides) => match &sides[..] {
                [before, after] => Some((axis(before, 0)?, axis(after, 0)?)),
                _ => None,
            },
            single => axis(single, 0).map(|size| (size, size)),
        };
        let read = || {
            let ((top, bottom), (left, right)) = match value {
                Value::Array(axes) => match &axes[..] {
                    [rows, columns] => (sides(rows)?, sides(columns)?),
                    _ => return None,
                },
                single => (sides(single)?, sides(single)?),
            };
            Some(Padding2d { top, bottom, left, right })
        };
        let supported = "p, [rows, columns] or [[top, bottom], [left, right]]";
        read().ok_or_else(|| self.unsupported("padding", value, supported))
    }
}

/// An integer from `least` to [`MAX_AXIS`].
pub(super) fn axis(value: &Value, least: u64) -> Option<usize> {
    let size = value.as_u64().filter(|size| (least..=MAX_AXIS).contains(size))?;
    usize::try_from(size).ok()
}

/// A JSON boolean, or a number as Python would take it for one.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// A JSON value as text, cut to a readable length.
pub(super) fn brief(value: &Value) -> String {
    let mut text = String::new();
    write_brief(value, &mut text);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn write_brief(value: &Value, text: &mut String) {
    // What is beyond the length shown need not be written.
    let full = |text: &String| text.len() > 4 * SHOWN;
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if full(text) {
                    break;
                }
                text.push_str(if index == 0 { "" } else { ", " });
                write_brief(item, text);
            }
            text.push(']');
        }
        Value::Object(object) => {
            text.push('{');
            for (index, (key, item)) in object.iter().enumerate() {
                if full(text) {
                    break;
                }
                text.push_str(if index == 0 { "" } else { ", " });
                text.push_str(key);
                text.push_str(": ");
                write_brief(item, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
