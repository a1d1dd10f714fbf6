//! What a protection plan protects: a table by array and bit position, and JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Side, TextTable, grouped, percent, whole};
use crate::hw::{AreaError, AreaModel, AreaReport, AreaUnit, Inventory, ProtectedBits, Protection};
use crate::num::cast;
use crate::protect::ProtectionPlan;

/// A plan in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanSummary {
    /// Bits with more than one copy, by kind of protection.
    styles: Vec<StyleCount>,
    /// In the order of the registers.
    arrays: Vec<ArrayCount>,
    area_unit: AreaUnit,
    area_added: f64,
    share_of_registers: f64,
    share_of_accelerator: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct StyleCount {
    protection: String,
    bits: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ArrayCount {
    layer: String,
    tensor: String,
    registers: usize,
    /// Registers with at least one protected bit.
    registers_touched: usize,
    /// Protected bits by position, the MSB first.
    by_position: Vec<usize>,
}

impl PlanSummary {
    /// Counts a plan's bits and prices them.
    ///
    /// # Errors
    /// When the area model is of another design.
    ///
    /// # Panics
    /// When the plan is of another design.
    pub fn new(plan: &ProtectionPlan, inventory: &Inventory, model: &AreaModel) -> Result<Self, AreaError> {
        let mut arrays = Vec::new();
        let mut priced = Vec::new();
        for array in inventory.arrays() {
            let width = usize::from(array.format.width());
            let mut count = ArrayCount {
                layer: array.layer.clone(),
                tensor: array.tensor.to_string(),
                registers: array.len,
                registers_touched: 0,
                by_position: vec![0; width],
            };
            let bits: Vec<_> = array.bit_ids().map(|bit| plan.of(bit)).collect();
            for register in bits.chunks(width) {
                let is_protected = |position: &usize| register[*position].copies() > 1;
                (0..width).filter(is_protected).for_each(|position| count.by_position[position] += 1);
                count.registers_touched += usize::from((0..width).any(|position| is_protected(&position)));
            }
            let mut by_style: BTreeMap<Protection, u64> = BTreeMap::new();
            for protection in bits.into_iter().filter(|protection| protection.copies() > 1) {
                *by_style.entry(protection).or_default() += 1;
            }
            let node = array.node;
            priced.extend(by_style.into_iter().map(|(protection, bits)| ProtectedBits { node, protection, bits }));
            arrays.push(count);
        }
        let report: AreaReport = model.report(&priced)?;
        let styles =
            plan.counts().into_iter().map(|(protection, bits)| StyleCount { protection: protection.to_string(), bits });
        Ok(Self {
            styles: styles.collect(),
            arrays,
            area_unit: report.unit,
            area_added: report.area.protection.cost(),
            share_of_registers: report.overhead_on_registers(),
            share_of_accelerator: report.overhead_on_accelerator(),
        })
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let positions = self.arrays.iter().map(|array| array.by_position.len()).max().unwrap_or(0);
        let names: Vec<String> = (0..positions)
            .map(|position| if position == 0 { "MSB 0".to_owned() } else { position.to_string() })
            .collect();
        let mut columns = vec![
            ("protected bits of", Side::Name),
            ("bits", Side::Right),
            ("share", Side::Right),
            ("registers", Side::Right),
        ];
        columns.extend(names.iter().map(|name| (name.as_str(), Side::Right)));
        let mut table = TextTable::new(&columns);
        let all: usize = self.arrays.iter().flat_map(|array| &array.by_position).sum();
        let share =
            |part: usize, whole: usize| percent(cast::f64_from_count(part) / cast::f64_from_count(whole.max(1)), 1);
        for array in &self.arrays {
            let bits: usize = array.by_position.iter().sum();
            let counts = array.by_position.iter().map(|count| share(*count, array.registers));
            table.row(
                [
                    format!("{}.{}", array.layer, array.tensor),
                    grouped(bits),
                    share(bits, array.registers * array.by_position.len()),
                    share(array.registers_touched, array.registers),
                ]
                .into_iter()
                .chain(counts),
            );
        }
        let kinds: Vec<String> =
            self.styles.iter().map(|style| format!("{} {}", grouped(style.bits), style.protection)).collect();
        format!(
            "the plan protects {} bits ({}) for {} {}: {} of the registers, {} of the accelerator\n\n{table}\n\
             share: of the array's bits; registers: of its registers, those with a protected bit; then by bit position\n",
            grouped(all),
            if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") },
            whole(self.area_added),
            self.area_unit.cost_name(),
            percent(self.share_of_registers, 1),
            percent(self.share_of_accelerator, 2),
        )
    }
}
