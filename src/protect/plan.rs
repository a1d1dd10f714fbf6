//! `ProtectionPlan`: the protection of every register bit of a design, and its file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hw::{BitId, Inventory, Protection, TmrStyle};
use crate::net::{Fingerprint, TensorKind};

/// What the file says it is.
const FORMAT: &str = "trivote-plan";

/// Version of the file that this crate reads and writes.
const VERSION: u32 = 1;

/// One letter per bit; capital letters have error flags.
const LEGEND: &str = ". none, u unvoted, f feedback, t feedback3; capital letter: with error flag; first letter: MSB";

/// Why a plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Not a plan file.
    #[error("{file}: is no protection plan: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// What the parser says.
        reason: String,
    },
    /// A plan file of another kind or version.
    #[error("{file}: is `{format}` version {version}; needed is `{FORMAT}` version {VERSION}")]
    Version {
        /// The file.
        file: String,
        /// Kind stated.
        format: String,
        /// Version stated.
        version: u32,
    },
    /// A plan made for other registers.
    #[error("{file}: was made for design `{name}` with fingerprint {found}; this design has {expected}")]
    OtherDesign {
        /// The file.
        file: String,
        /// Design named in the file.
        name: String,
        /// Fingerprint in the file.
        found: String,
        /// Fingerprint of the design at hand.
        expected: String,
    },
    /// A list of registers that is not the design's.
    #[error("{file}: the arrays listed are not the registers of the design: expected {expected}")]
    Arrays {
        /// The file.
        file: String,
        /// What should stand there.
        expected: String,
    },
    /// A letter that stands for nothing, or too few or many of them.
    #[error("{file}: {layer}.{tensor}[{index}]: `{text}` is not {width} letters of `{LEGEND}`")]
    Register {
        /// The file.
        file: String,
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: TensorKind,
        /// The register.
        index: usize,
        /// What stands there.
        text: String,
        /// Width of the register, in bits.
        width: u8,
    },
}

/// The protection of every weight and bias register bit, by [`BitId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionPlan {
    bits: Vec<Protection>,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    format: String,
    version: u32,
    design: String,
    fingerprint: String,
    /// How the plan came about, for people and for running it again; not read.
    #[serde(default)]
    origin: Value,
    legend: String,
    arrays: Vec<ArrayFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayFile {
    layer: String,
    tensor: TensorKind,
    width: u8,
    registers: Vec<String>,
}

impl ProtectionPlan {
    /// Every bit of the design without protection.
    pub fn none(inventory: &Inventory) -> Self {
        Self { bits: vec![Protection::NONE; inventory.bits()] }
    }

    /// Protects some bits, and no other.
    ///
    /// # Panics
    /// When a bit is not of the design.
    pub fn uniform(inventory: &Inventory, bits: impl IntoIterator<Item = BitId>, protection: Protection) -> Self {
        let mut plan = Self::none(inventory);
        for bit in bits {
            plan.bits[bit.index()] = protection;
        }
        plan
    }

    /// Protects a bit in this way, whatever it had before.
    ///
    /// # Panics
    /// When the bit is not of the design.
    pub fn set(&mut self, bit: BitId, protection: Protection) {
        self.bits[bit.index()] = protection;
    }

    /// Protection of one bit.
    pub fn of(&self, bit: BitId) -> Protection {
        self.bits[bit.index()]
    }

    /// Number of bits with each protection that occurs, `none` left out.
    pub fn counts(&self) -> std::collections::BTreeMap<Protection, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for protection in self.bits.iter().filter(|protection| protection.style != TmrStyle::None) {
            *counts.entry(*protection).or_default() += 1;
        }
        counts
    }

    /// The plan as the text of a file; `origin` says how it came about.
    ///
    /// # Panics
    /// When `inventory` is of another design.
    pub fn to_json(&self, inventory: &Inventory, design: &str, fingerprint: Fingerprint, origin: Value) -> String {
        assert_eq!(self.bits.len(), inventory.bits(), "a plan is used with its own design");
        let arrays = inventory.arrays().iter().map(|array| {
            let letters: Vec<char> = array.bit_ids().map(|bit| letter(self.of(bit))).collect();
            ArrayFile {
                layer: array.layer.clone(),
                tensor: array.tensor,
                width: array.format.width(),
                registers: letters
                    .chunks(usize::from(array.format.width()))
                    .map(|bits| bits.iter().collect())
                    .collect(),
            }
        });
        let file = PlanFile {
            format: FORMAT.to_owned(),
            version: VERSION,
            design: design.to_owned(),
            fingerprint: fingerprint.to_string(),
            origin,
            legend: LEGEND.to_owned(),
            arrays: arrays.collect(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("strings and numbers have a JSON form");
        text.push('\n');
        text
    }

    /// Reads a plan; `file` names it in messages.
    ///
    /// # Errors
    /// When the text is no plan, or one for other registers than these.
    pub fn from_json(file: &str, text: &str, inventory: &Inventory, own: Fingerprint) -> Result<Self, PlanError> {
        let name = || file.to_owned();
        let syntax = |error: serde_json::Error| PlanError::Syntax { file: name(), reason: error.to_string() };
        // A later version may have other fields, so its number is looked at first.
        let Header { format, version } = serde_json::from_str(text).map_err(syntax)?;
        if format != FORMAT || version != VERSION {
            return Err(PlanError::Version { file: name(), format, version });
        }
        let plan: PlanFile = serde_json::from_str(text).map_err(syntax)?;
        if plan.fingerprint != own.to_string() {
            return Err(PlanError::OtherDesign {
                file: name(),
                name: plan.design,
                found: plan.fingerprint,
                expected: own.to_string(),
            });
        }
        let expected = inventory.arrays();
        let same = expected.len() == plan.arrays.len()
            && expected.iter().zip(&plan.arrays).all(|(mine, theirs)| {
                mine.layer == theirs.layer
                    && mine.tensor == theirs.tensor
                    && mine.format.width() == theirs.width
                    && mine.len == theirs.registers.len()
            });
        if !same {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            return Err(PlanError::Arrays { file: name(), expected: expected.join("; ") });
        }
        let mut bits = Vec::with_capacity(inventory.bits());
        for array in &plan.arrays {
            for (index, text) in array.registers.iter().enumerate() {
                let read: Option<Vec<Protection>> = text.chars().map(protection).collect();
                let read =
                    read.filter(|bits| bits.len() == usize::from(array.width)).ok_or_else(|| PlanError::Register {
                        file: name(),
                        layer: array.layer.clone(),
                        tensor: array.tensor,
                        index,
                        text: text.clone(),
                        width: array.width,
                    })?;
                bits.extend(read);
            }
        }
        Ok(Self { bits })
    }
}

fn letter(protection: Protection) -> char {
    let letter = match protection.style {
        TmrStyle::None => '.',
        TmrStyle::Unvoted => 'u',
        TmrStyle::Feedback => 'f',
        TmrStyle::Feedback3 => 't',
    };
    if protection.error_flag { letter.to_ascii_uppercase() } else { letter }
}

fn protection(letter: char) -> Option<Protection> {
    let style = match letter.to_ascii_lowercase() {
        '.' => TmrStyle::None,
        'u' => TmrStyle::Unvoted,
        'f' => TmrStyle::Feedback,
        't' => TmrStyle::Feedback3,
        _ => return None,
    };
    Some(Protection { style, error_flag: letter.is_ascii_uppercase() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Dense, Network, NetworkBuilder, Op, WeightTensor};
    use crate::num::{QFormat, qkeras};

    fn network(weight: i64) -> Network {
        let mut net = NetworkBuilder::new("n", "x", &[2], qkeras::quantized_relu(4, 1).unwrap()).unwrap();
        let source = net.input();
        let kernel = WeightTensor::new(vec![2, 1], vec![weight, 1], QFormat::signed(4, 1).unwrap()).unwrap();
        let bias = Some(WeightTensor::new(vec![1], vec![0], QFormat::signed(3, 1).unwrap()).unwrap());
        net.push("dense", Op::Dense(Dense { kernel, bias }), &[source]).unwrap();
        net.finish().unwrap()
    }

    #[test]
    fn a_plan_survives_its_file() {
        let network = network(3);
        let inventory = Inventory::new(&network).unwrap();
        let mut plan = ProtectionPlan::uniform(&inventory, [BitId(0), BitId(5)], TmrStyle::Feedback.into());
        plan.bits[8] = Protection { style: TmrStyle::Feedback3, error_flag: true };
        plan.bits[9] = TmrStyle::Unvoted.into();
        let text = plan.to_json(&inventory, "n", network.fingerprint(), Value::Null);
        assert!(text.contains("\"f...\"") && text.contains("\".f..\"") && text.contains("\"Tu.\""), "{text}");
        assert_eq!(ProtectionPlan::from_json("p", &text, &inventory, network.fingerprint()), Ok(plan.clone()));
        assert_eq!(plan.counts().values().sum::<usize>(), 4);
    }

    #[test]
    fn foreign_and_broken_plans_are_refused() {
        let network = network(3);
        let inventory = Inventory::new(&network).unwrap();
        let text = ProtectionPlan::none(&inventory).to_json(&inventory, "n", network.fingerprint(), Value::Null);
        let refuse = |text: &str| {
            ProtectionPlan::from_json("p.json", text, &inventory, network.fingerprint()).unwrap_err().to_string()
        };
        assert!(refuse("{").contains("p.json: is no protection plan"));
        let later = text.replace("\"version\": 1", "\"version\": 2, \"novelty\": 0");
        assert!(refuse(&later).contains("version 2; needed"));
        assert!(refuse(&text.replace("dense", "other")).contains("expected dense.kernel[0..2]: ap_fixed<4,1>"));
        assert!(refuse(&text.replacen("....", "...x", 1)).contains("dense.kernel[0]: `...x` is not 4 letters"));
        assert!(refuse(&text.replacen("....", "...", 1)).contains("`...` is not 4 letters"));
        let other = self::network(2).fingerprint();
        let error = ProtectionPlan::from_json("p.json", &text, &inventory, other).unwrap_err();
        assert!(matches!(error, PlanError::OtherDesign { .. }));
    }
}
