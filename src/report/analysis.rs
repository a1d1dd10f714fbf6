//! Derivatives of the mean loss: arrays for numerical work, JSON for machines, a table for people.

use std::io::Cursor;

use serde::Serialize;

use super::npz::{NpzError, NpzWriter, Packing};
use super::{Provenance, Side, TextTable, grouped, significant};
use crate::analysis::{Diagonals, Eigenpairs, Estimate, Loss, TraceEstimate};
use crate::hw::{Inventory, RegisterArray};
use crate::num::cast;

/// Derivatives with what they are of. Vectors are in the order of the registers: kernel before bias, layer by layer.
#[derive(Debug, Clone, Copy)]
pub struct AnalysisReport<'a> {
    /// The registers.
    pub inventory: &'a Inventory,
    /// The loss.
    pub loss: Loss,
    /// Number of events.
    pub events: usize,
    /// Its mean.
    pub mean_loss: f64,
    /// The weights as trained.
    pub trained: &'a [f64],
    /// Values the registers hold.
    pub register_values: &'a [f64],
    /// Gradient.
    pub gradient: &'a [f64],
    /// Leading eigenpairs of the Hessian.
    pub eigenpairs: &'a Eigenpairs,
    /// Trace of the Hessian from random probes, by tensor, then by layer ([`trace_groups`]).
    pub traces: &'a TraceEstimate,
    /// Number of probes.
    pub probes: usize,
    /// Exact diagonals, where asked for.
    pub diagonals: Option<&'a Diagonals>,
    /// The diagonal from random probes, where asked for.
    pub diagonal_estimate: Option<&'a [Estimate]>,
}

/// The groups of registers whose traces are told: first the tensors, then the layers, each with its name.
pub fn trace_groups(inventory: &Inventory) -> Vec<(String, std::ops::Range<usize>)> {
    let range = |array: &RegisterArray| {
        let first = cast::index(array.first.0);
        first..first + array.len
    };
    let tensors = inventory.arrays().iter().map(|array| (format!("{}.{}", array.layer, array.tensor), range(array)));
    let layers = inventory.arrays().chunk_by(|a, b| a.node == b.node).map(|arrays| {
        let end = range(&arrays[arrays.len() - 1]).end;
        (arrays[0].layer.clone(), range(&arrays[0]).start..end)
    });
    tensors.chain(layers).collect()
}

#[derive(Serialize)]
struct File<'a> {
    provenance: &'a Provenance,
    loss: &'a str,
    events: usize,
    mean_loss: f64,
    registers: usize,
    gradient_norm: f64,
    eigenvalues: &'a [f64],
    residuals: &'a [f64],
    hessian_products: usize,
    converged: bool,
    probes: usize,
    trace: Trace,
    tensors: Vec<Part>,
    layers: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    name: String,
    registers: usize,
    gradient_norm: f64,
    #[serde(flatten)]
    trace: Trace,
}

#[derive(Serialize)]
struct Trace {
    #[serde(rename = "trace_estimate")]
    estimate: f64,
    #[serde(rename = "trace_standard_error")]
    standard_error: f64,
    #[serde(rename = "trace", skip_serializing_if = "Option::is_none")]
    exact: Option<f64>,
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

impl AnalysisReport<'_> {
    /// Arrays `params` (weights as trained), `register_values`, `gradient` `[registers]`; `eigenvalues`, `residuals` `[k]`, `eigenvectors` `[registers, k]`;
    /// `trace_per_tensor` (exact where the diagonal is), `trace_per_tensor_estimate` and `trace_per_tensor_standard_error`
    /// `[tensors]`; `loss`; where asked for `hessian_diagonal` and `gauss_newton_diagonal`, `hessian_diagonal_estimate` and
    /// `hessian_diagonal_standard_error` `[registers]`; `provenance` (its JSON as bytes). All reals are f64.
    ///
    /// # Errors
    /// When the archive cannot be made.
    pub fn npz(&self, provenance: &Provenance) -> Result<Vec<u8>, NpzError> {
        let (registers, tensors) = (self.register_values.len(), self.inventory.arrays().len());
        let pairs = &self.eigenpairs;
        let k = pairs.values.len();
        let vectors: Vec<f64> =
            (0..registers).flat_map(|register| pairs.vectors.iter().map(move |vector| vector[register])).collect();
        let estimates = &self.traces.groups[..tensors];
        let values = |estimates: &[Estimate]| estimates.iter().map(|e| e.value).collect::<Vec<f64>>();
        let errors = |estimates: &[Estimate]| estimates.iter().map(|e| e.standard_error).collect::<Vec<f64>>();
        let exact: Option<Vec<f64>> = (0..tensors).map(|group| self.exact_trace(group)).collect();
        let provenance = serde_json::to_vec(provenance).expect("strings and numbers have a JSON form");
        let mut archive = NpzWriter::new(Cursor::new(Vec::new()), Packing::Deflated);
        archive.add("params", &[registers], self.trained)?;
        archive.add("register_values", &[registers], self.register_values)?;
        archive.add("gradient", &[registers], self.gradient)?;
        archive.add("eigenvalues", &[k], pairs.values.as_slice())?;
        archive.add("residuals", &[k], pairs.residuals.as_slice())?;
        archive.add("eigenvectors", &[registers, k], vectors.as_slice())?;
        archive.add("trace_per_tensor", &[tensors], exact.unwrap_or_else(|| values(estimates)).as_slice())?;
        archive.add("trace_per_tensor_estimate", &[tensors], values(estimates).as_slice())?;
        archive.add("trace_per_tensor_standard_error", &[tensors], errors(estimates).as_slice())?;
        archive.add("loss", &[], [self.mean_loss].as_slice())?;
        if let Some(diagonals) = self.diagonals {
            archive.add("hessian_diagonal", &[registers], diagonals.hessian.as_slice())?;
            archive.add("gauss_newton_diagonal", &[registers], diagonals.gauss_newton.as_slice())?;
        }
        if let Some(estimates) = self.diagonal_estimate {
            archive.add("hessian_diagonal_estimate", &[registers], values(estimates).as_slice())?;
            archive.add("hessian_diagonal_standard_error", &[registers], errors(estimates).as_slice())?;
        }
        archive.add("provenance", &[provenance.len()], provenance.as_slice())?;
        Ok(archive.finish()?.into_inner())
    }

    /// Everything but the long vectors as JSON.
    pub fn json(&self, provenance: &Provenance) -> String {
        let parts = self.parts();
        let (tensors, layers) = parts.split_at(self.inventory.arrays().len());
        let part = |(name, range, group): &(String, std::ops::Range<usize>, usize)| Part {
            name: name.clone(),
            registers: range.len(),
            gradient_norm: norm(&self.gradient[range.clone()]),
            trace: self.trace(*group),
        };
        let file = File {
            provenance,
            loss: self.loss.name(),
            events: self.events,
            mean_loss: self.mean_loss,
            registers: self.register_values.len(),
            gradient_norm: norm(self.gradient),
            eigenvalues: &self.eigenpairs.values,
            residuals: &self.eigenpairs.residuals,
            hessian_products: self.eigenpairs.products,
            converged: self.eigenpairs.converged,
            probes: self.probes,
            trace: Trace {
                estimate: self.traces.total.value,
                standard_error: self.traces.total.standard_error,
                exact: self.diagonals.map(|diagonals| diagonals.hessian.iter().sum()),
            },
            tensors: tensors.iter().map(part).collect(),
            layers: layers.iter().map(part).collect(),
        };
        let mut text = serde_json::to_string_pretty(&file).expect("strings and finite numbers have a JSON form");
        text.push('\n');
        text
    }

    /// Tables for people: the eigenvalues, then the parts.
    pub fn tables(&self) -> String {
        let mut spectrum = TextTable::new(&[("", Side::Right), ("eigenvalue", Side::Right), ("residual", Side::Right)]);
        for (number, (value, residual)) in self.eigenpairs.values.iter().zip(&self.eigenpairs.residuals).enumerate() {
            spectrum.row([(number + 1).to_string(), significant(*value), format!("{residual:.1e}")]);
        }
        let mut columns = vec![
            ("registers", Side::Name),
            ("number", Side::Right),
            ("|gradient|", Side::Right),
            ("trace, estimated", Side::Right),
            ("standard error", Side::Right),
        ];
        if self.diagonals.is_some() {
            columns.push(("trace, exact", Side::Right));
        }
        let mut table = TextTable::new(&columns);
        let mut row = |name: &str, registers: usize, gradient: f64, trace: &Trace| {
            let mut cells = vec![
                name.to_owned(),
                grouped(registers),
                significant(gradient),
                significant(trace.estimate),
                significant(trace.standard_error),
            ];
            cells.extend(trace.exact.map(significant));
            table.row(cells);
        };
        for (name, range, group) in self.parts().into_iter().take(self.inventory.arrays().len()) {
            row(&name, range.len(), norm(&self.gradient[range]), &self.trace(group));
        }
        let total = Trace {
            estimate: self.traces.total.value,
            standard_error: self.traces.total.standard_error,
            exact: self.diagonals.map(|diagonals| diagonals.hessian.iter().sum()),
        };
        row("all", self.register_values.len(), norm(self.gradient), &total);
        format!(
            "mean {} loss of {} events: {}\n\n\
             Hessian, eigenpairs of largest magnitude ({} products{})\n{spectrum}\n\
             gradient, and trace of the Hessian ({} random probes)\n{table}",
            self.loss,
            grouped(self.events),
            significant(self.mean_loss),
            grouped(self.eigenpairs.products),
            if self.eigenpairs.converged { "" } else { "; NOT converged" },
            grouped(self.probes),
        )
    }

    fn parts(&self) -> Vec<(String, std::ops::Range<usize>, usize)> {
        let groups = trace_groups(self.inventory).into_iter().enumerate();
        groups.map(|(group, (name, range))| (name, range, group)).collect()
    }

    fn trace(&self, group: usize) -> Trace {
        let Estimate { value: estimate, standard_error } = self.traces.groups[group];
        Trace { estimate, standard_error, exact: self.exact_trace(group) }
    }

    fn exact_trace(&self, group: usize) -> Option<f64> {
        let (_, range) = trace_groups(self.inventory).swap_remove(group);
        self.diagonals.map(|diagonals| diagonals.hessian[range].iter().sum())
    }
}
