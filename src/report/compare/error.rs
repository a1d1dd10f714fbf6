//! Why results cannot be compared.

use crate::import::oracle::short;

/// Why results cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// A label that cannot be shown.
    #[error("label `{}`: a label is some text without line breaks or blanks around it, as in LABEL=PATH", .label.escape_debug())]
    Label {
        /// The label.
        label: String,
    },
    /// Two designs under one label.
    #[error(
        "{second} is of design {}..., but {first} of {}..., both under the label `{label}`; give one of them a label of its \
         own by LABEL=PATH", short(.second_design), short(.first_design)
    )]
    OtherDesign {
        /// The label.
        label: String,
        /// A result that has it.
        first: String,
        /// The fingerprint of its design.
        first_design: String,
        /// Another.
        second: String,
        /// The fingerprint of its design.
        second_design: String,
    },
    /// Results that cannot be drawn together.
    #[error(
        "{second} has {second_has}, but {first} {first_has}, so they cannot be drawn together under the label `{label}`; \
         give one of them a label of its own by LABEL=PATH"
    )]
    Apart {
        /// The label.
        label: String,
        /// A result that has it.
        first: String,
        /// What it has.
        first_has: String,
        /// Another.
        second: String,
        /// What it has instead.
        second_has: String,
    },
    /// Scores that lack a bit.
    #[error("{scores}: has no row for `{bit}`, which {oracle} has; score the same bits")]
    NoScore {
        /// The scores.
        scores: String,
        /// The oracle.
        oracle: String,
        /// The bit.
        bit: String,
    },
    /// A unit of areas that this version does not know.
    #[error("{path}: field `area_unit`: `{unit}` is no unit of areas; known are ge and lut_ff")]
    Unit {
        /// The sweep.
        path: String,
        /// The unit.
        unit: String,
    },
    /// Rises that cannot be added up.
    #[error("{path}: its error rises are no numbers that can be added up; write it again")]
    Rises {
        /// The oracle.
        path: String,
    },
}
