//! Labels: the class of every event, from NumPy arrays.
//!
//! Takes an array and a file name for messages. Which network has how many classes, and how many events there are, is
//! for the caller to say.

use super::npy::{NpyArray, NpyData};

/// Why labels cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// An array of another shape.
    #[error("{file}: an array of shape {found:?}; labels are integers [events], or one-hot rows [events, classes]")]
    Shape {
        /// The file.
        file: String,
        /// Shape of the array.
        found: Vec<usize>,
    },
    /// Real numbers instead of integers.
    #[error("{file}: labels are real numbers; integers [events] are needed, or one-hot rows [events, classes]")]
    Reals {
        /// The file.
        file: String,
    },
    /// An integer that is no class.
    #[error("{file}, event {event}: label {label} is no class; classes are counted from 0")]
    NoClass {
        /// The file.
        file: String,
        /// The event, from 0.
        event: usize,
        /// What stands there.
        label: i128,
    },
    /// A row without exactly one 1 among zeros.
    #[error("{file}, event {event}: a one-hot row has a single 1 among zeros, this one does not")]
    OneHot {
        /// The file.
        file: String,
        /// The event, from 0.
        event: usize,
    },
    /// Another number of labels than of events.
    #[error("{file}: {labels} labels for {events} events; every event needs one")]
    Count {
        /// The file.
        file: String,
        /// Labels there are.
        labels: usize,
        /// Events there are.
        events: usize,
    },
    /// A class without an output.
    #[error("{file}, event {event}: label {label}, but the network has {classes} outputs, for classes 0 to {}", classes.saturating_sub(1))]
    Beyond {
        /// The file.
        file: String,
        /// The event, from 0.
        event: usize,
        /// Its label.
        label: u32,
        /// Number of outputs.
        classes: usize,
    },
}

/// The classes of the events of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    file: String,
    classes: Vec<u32>,
}

impl Labels {
    /// Reads integers `[events]` (or `[events, 1]`), or rows `[events, classes]` with a single 1 among zeros, as integers,
    /// truth values or real numbers.
    ///
    /// # Errors
    /// When the array has another shape or values that are no classes.
    pub fn read(file: &str, array: &NpyArray) -> Result<Self, LabelError> {
        let file = file.to_owned();
        let classes = match array.shape() {
            [_] | [_, 1] => integers(&file, array.data())?,
            [_, classes] if *classes > 1 => one_hot(&file, array.data(), *classes)?,
            found => return Err(LabelError::Shape { file, found: found.to_vec() }),
        };
        Ok(Self { file, classes })
    }

    /// The labels of `events` events that a network with `classes` outputs is to tell apart.
    ///
    /// # Errors
    /// When there are more or fewer labels, or one of them is of no output.
    pub fn fitting(self, events: usize, classes: usize) -> Result<Vec<u32>, LabelError> {
        let Self { file, classes: labels } = self;
        if labels.len() != events {
            return Err(LabelError::Count { file, labels: labels.len(), events });
        }
        let is_beyond = |label: &u32| usize::try_from(*label).map_or(true, |label| label >= classes);
        match labels.iter().position(is_beyond) {
            Some(event) => Err(LabelError::Beyond { file, event, label: labels[event], classes }),
            None => Ok(labels),
        }
    }
}

fn integers(file: &str, data: &NpyData) -> Result<Vec<u32>, LabelError> {
    if matches!(data, NpyData::F32(_) | NpyData::F64(_)) {
        return Err(LabelError::Reals { file: file.to_owned() });
    }
    let class = |(event, label): (usize, i128)| {
        u32::try_from(label).map_err(|_| LabelError::NoClass { file: file.to_owned(), event, label })
    };
    data.integers().enumerate().map(class).collect()
}

fn one_hot(file: &str, data: &NpyData, classes: usize) -> Result<Vec<u32>, LabelError> {
    let values: Vec<f64> = match data {
        NpyData::F32(values) => values.iter().copied().map(f64::from).collect(),
        NpyData::F64(values) => values.clone(),
        // Whatever is neither 0 nor 1 need not be exact.
        _ => data.integers().map(|value| i32::try_from(value).map_or(f64::NAN, f64::from)).collect(),
    };
    let class = |(event, row): (usize, &[f64])| {
        let ones = row.iter().filter(|value| **value == 1.0).count();
        let zeros = row.iter().filter(|value| **value == 0.0).count();
        let class = row.iter().position(|value| *value == 1.0).and_then(|class| u32::try_from(class).ok());
        class
            .filter(|_| ones == 1 && ones + zeros == classes)
            .ok_or_else(|| LabelError::OneHot { file: file.to_owned(), event })
    };
    values.chunks_exact(classes).enumerate().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(shape: &[usize], data: NpyData) -> Result<Labels, LabelError> {
        Labels::read("l.npy", &NpyArray::new(shape.to_vec(), data).unwrap())
    }

    #[test]
    fn integers_and_one_hot_rows() {
        let expected = Ok(vec![2, 0, 1]);
        let found = |labels: Result<Labels, LabelError>| labels.unwrap().fitting(3, 3);
        assert_eq!(found(labels(&[3], NpyData::U8(vec![2, 0, 1]))), expected);
        assert_eq!(found(labels(&[3, 1], NpyData::I64(vec![2, 0, 1]))), expected);
        let rows = [0, 0, 1, 1, 0, 0, 0, 1, 0];
        assert_eq!(found(labels(&[3, 3], NpyData::I16(rows.to_vec()))), expected);
        assert_eq!(found(labels(&[3, 3], NpyData::F32(rows.map(f32::from).to_vec()))), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |labels: Result<Labels, LabelError>| labels.unwrap_err().to_string();
        assert_eq!(
            message(labels(&[1, 1, 2], NpyData::U8(vec![0; 2]))),
            "l.npy: an array of shape [1, 1, 2]; labels are integers [events], or one-hot rows [events, classes]"
        );
        assert_eq!(
            message(labels(&[2], NpyData::F64(vec![0.0, 1.0]))),
            "l.npy: labels are real numbers; integers [events] are needed, or one-hot rows [events, classes]"
        );
        assert_eq!(
            message(labels(&[2], NpyData::I8(vec![0, -1]))),
            "l.npy, event 1: label -1 is no class; classes are counted from 0"
        );
        for row in [[0, 0], [1, 1], [1, 2], [-1, 1]] {
            assert_eq!(
                message(labels(&[2, 2], NpyData::I64([[0, 1], row].concat()))),
                "l.npy, event 1: a one-hot row has a single 1 among zeros, this one does not"
            );
        }
        let fitting = |events, classes| {
            labels(&[2], NpyData::U8(vec![0, 10])).unwrap().fitting(events, classes).unwrap_err().to_string()
        };
        assert_eq!(fitting(3, 11), "l.npy: 2 labels for 3 events; every event needs one");
        assert_eq!(fitting(2, 10), "l.npy, event 1: label 10, but the network has 10 outputs, for classes 0 to 9");
    }
}
