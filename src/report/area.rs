//! Area of a design: by layer and part, and what full protection costs in every style.

use serde::Serialize;

use super::{Side, TextTable, fixed, grouped, percent, whole};
use crate::hw::{Area, AreaBreakdown, AreaError, AreaModel, AreaReport, AreaUnit, Protection, TmrStyle};

/// Area of a design without protection, and with all of its register bits protected alike.
#[derive(Debug, Clone, Serialize)]
pub struct AreaSummary {
    unprotected: AreaReport,
    full_protection: Vec<FullProtection>,
}

#[derive(Debug, Clone, Serialize)]
struct FullProtection {
    protection: String,
    area_per_bit: f64,
    area_added: f64,
    overhead_on_registers: f64,
    overhead_on_accelerator: f64,
}

impl AreaSummary {
    /// Asks the area model.
    ///
    /// # Errors
    /// When the area model fails.
    pub fn new(model: &AreaModel) -> Result<Self, AreaError> {
        let styles = TmrStyle::ALL.into_iter().filter(|style| *style != TmrStyle::None);
        let protections = styles.flat_map(|style| [false, true].map(|error_flag| Protection { style, error_flag }));
        let full_protection = protections
            .map(|protection| {
                let report = model.report(&model.uniform(protection))?;
                Ok(FullProtection {
                    protection: protection.to_string(),
                    area_per_bit: model.technology().protection_bit(protection).cost(),
                    area_added: report.area.protection.cost(),
                    overhead_on_registers: report.overhead_on_registers(),
                    overhead_on_accelerator: report.overhead_on_accelerator(),
                })
            })
            .collect::<Result<_, AreaError>>()?;
        Ok(Self { unprotected: model.report(&[])?, full_protection })
    }

    /// Two tables for people.
    pub fn tables(&self) -> String {
        let report = &self.unprotected;
        let unit = report.unit.cost_name();
        let mut by_layer = TextTable::new(&[
            ("layer", Side::Left),
            ("multipliers", Side::Right),
            ("area of registers", Side::Right),
            ("multipliers", Side::Right),
            ("adders", Side::Right),
            ("other", Side::Right),
            ("total", Side::Right),
            ("share", Side::Right),
        ]);
        let total = report.area.total().cost();
        let mut row = |name: &str, multipliers: u64, area: &AreaBreakdown| {
            let part = |area: Area| whole(area.cost());
            by_layer.row([
                name.to_owned(),
                grouped(usize::try_from(multipliers).unwrap_or(usize::MAX)),
                part(area.registers),
                part(area.multipliers),
                part(area.adders),
                part(area.multiplexers + area.quantizers + area.pipeline + area.buffers),
                part(area.total()),
                percent(area.total().cost() / total, 1),
            ]);
        };
        for layer in report.layers.iter().filter(|layer| layer.area.total().cost() > 0.0) {
            row(&layer.layer, layer.parts.multipliers, &layer.area);
        }
        row("all", report.parts.multipliers, &report.area);
        let mut by_style = TextTable::new(&[
            ("every register bit protected", Side::Left),
            (&format!("+{unit} per bit"), Side::Right),
            (&format!("+{unit}"), Side::Right),
            ("of registers", Side::Right),
            ("of accelerator", Side::Right),
        ]);
        for full in &self.full_protection {
            by_style.row([
                full.protection.clone(),
                fixed(full.area_per_bit, 2),
                whole(full.area_added),
                percent(full.overhead_on_registers, 1),
                percent(full.overhead_on_accelerator, 1),
            ]);
        }
        let what = match report.unit {
            AreaUnit::Ge => "NAND2 gate equivalents of cell area".to_owned(),
            AreaUnit::LutFf => {
                let area = report.area.total();
                let (luts, flip_flops) = (whole(area.luts), whole(area.flip_flops));
                format!("LUT equivalents (LUT + FF/2); {luts} LUT and {flip_flops} FF in all")
            }
        };
        format!("area on {} in {what}\n\n{by_layer}\n{by_style}", report.technology)
    }
}
