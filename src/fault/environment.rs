//! `Environment`: how often particles strike, and how many neighboring cells each upsets.
//!
//! Rates only; when and where strikes come is [`Arrivals`](super::Arrivals)'s.

use std::fmt;
use std::str::FromStr;

use super::ClusterSizes;
use crate::num::cast;

/// How often particles strike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Strikes per flip-flop and second: cross section in cm² per bit times flux in particles per cm² and second.
    PerCell {
        /// In 1/s.
        per_s: f64,
    },
    /// So many seconds between strikes on the whole device, however many flip-flops it has.
    PerDevice {
        /// Mean, in seconds.
        mean_s: f64,
    },
    /// Strikes per flip-flop and inference: a bit error rate.
    PerInference {
        /// Expected number per flip-flop.
        bit_error_rate: f64,
    },
}

/// Where an accelerator works, as far as upsets are concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// How often particles strike.
    pub rate: Rate,
    /// How many neighboring cells one upsets.
    pub sizes: ClusterSizes,
    /// Where the figures come from.
    pub source: String,
}

/// An environment that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Not a preset.
    #[error("`{name}` is no environment; there are {}", Preset::names())]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// A figure below zero, infinite or no number.
    #[error("{quantity} is {value}; it must be a finite number from 0")]
    Value {
        /// What it is, with its unit.
        quantity: &'static str,
        /// The value given.
        value: f64,
    },
    /// A mean time that no strike can have.
    #[error("the mean time between upsets is {value} s; it must be a finite number above 0")]
    MeanTime {
        /// The value given.
        value: f64,
    },
}

/// Environments known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The front end of the CMS endcap calorimeter, worst case.
    Hgcal,
    /// The whole-device rate of the FKeras paper's LHC scenario.
    Lhc,
    /// The FKeras paper's data center.
    Datacenter,
    /// Sea level.
    Ground,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hgcal, Self::Lhc, Self::Datacenter, Self::Ground];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hgcal => "hgcal",
            Self::Lhc => "lhc",
            Self::Datacenter => "datacenter",
            Self::Ground => "ground",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Where its figures come from; what nobody measured says that it is assumed.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Hgcal => "assumed: 1e16 particles/cm2 in 1e8 s, cross section 1e-14 cm2 per bit",
            Self::Lhc => "FKeras paper: one upset of the device every 15 s",
            Self::Datacenter => "FKeras paper: one upset of the device a year",
            Self::Ground => {
                "assumed flux 13 n/cm2/h above 10 MeV; cross section of 7-series configuration memory, 6.99e-15 cm2 per bit"
            }
        }
    }

    /// The environment, with strikes that upset one cell each: sizes of clusters depend on technology and layout, so
    /// they are the user's to give.
    pub fn environment(self) -> Environment {
        let rate = match self {
            Self::Hgcal => Rate::PerCell { per_s: 1e-14 * (1e16 / 1e8) },
            Self::Lhc => Rate::PerDevice { mean_s: 15.0 },
            Self::Datacenter => Rate::PerDevice { mean_s: 365.25 * 86_400.0 },
            Self::Ground => Rate::PerCell { per_s: 6.99e-15 * (13.0 / 3600.0) },
        };
        Environment {
            name: self.name().to_owned(),
            rate,
            sizes: ClusterSizes::new(&[(1, 1.0)]).expect("one size with a positive weight"),
            source: self.source().to_owned(),
        }
    }
}

impl FromStr for Preset {
    type Err = EnvironmentError;

    fn from_str(text: &str) -> Result<Self, EnvironmentError> {
        let preset = Self::ALL.into_iter().find(|preset| preset.name() == text.trim());
        preset.ok_or_else(|| EnvironmentError::Unknown { name: text.to_owned() })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn from_zero(quantity: &'static str, value: f64) -> Result<f64, EnvironmentError> {
    let makes_sense = value >= 0.0 && value.is_finite();
    makes_sense.then_some(value).ok_or(EnvironmentError::Value { quantity, value })
}

impl Rate {
    /// Strikes per cell of a technology's cross section, in cm² per bit, in a flux, in particles per cm² and second.
    ///
    /// # Errors
    /// When one of them is negative, infinite or no number.
    pub fn of_flux(cross_section_cm2: f64, flux_per_cm2_s: f64) -> Result<Self, EnvironmentError> {
        let cross_section = from_zero("the cross section in cm2 per bit", cross_section_cm2)?;
        let flux = from_zero("the flux in particles per cm2 and second", flux_per_cm2_s)?;
        Ok(Self::PerCell { per_s: from_zero("the rate per bit and second", cross_section * flux)? })
    }

    /// Strikes on the device this far apart, in seconds, on average.
    ///
    /// # Errors
    /// When the time is not above 0 and finite.
    pub fn of_device(mean_s: f64) -> Result<Self, EnvironmentError> {
        let makes_sense = mean_s > 0.0 && mean_s.is_finite();
        makes_sense.then_some(Self::PerDevice { mean_s }).ok_or(EnvironmentError::MeanTime { value: mean_s })
    }

    /// So many strikes per cell and inference.
    ///
    /// # Errors
    /// When the rate is negative, infinite or no number.
    pub fn of_inference(bit_error_rate: f64) -> Result<Self, EnvironmentError> {
        Ok(Self::PerInference { bit_error_rate: from_zero("the bit error rate per inference", bit_error_rate)? })
    }

    /// Strikes per second on `cells` flip-flops of an accelerator that starts so many inferences per second.
    pub fn strikes_per_s(self, cells: usize, inferences_per_s: f64) -> f64 {
        let cells = cast::f64_from_count(cells);
        match self {
            Self::PerCell { per_s } => per_s * cells,
            Self::PerDevice { mean_s } => 1.0 / mean_s,
            Self::PerInference { bit_error_rate } => bit_error_rate * cells * inferences_per_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn rates_of_the_presets() {
        let per_s = |preset: Preset| preset.environment().rate.strikes_per_s(12_864, 40e6);
        // The worst case on the 12,864 register bits of ECON-T Medium.
        close(per_s(Preset::Hgcal), 1.2864e-2);
        close(per_s(Preset::Lhc), 1.0 / 15.0);
        close(per_s(Preset::Datacenter), 1.0 / 31_557_600.0);
        close(per_s(Preset::Ground), 6.99e-15 * 13.0 / 3600.0 * 12_864.0);
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            let environment = preset.environment();
            assert_eq!((environment.name.as_str(), environment.sizes.shares()), (preset.name(), &[(1, 1.0)][..]));
            assert_eq!(environment.source, preset.source());
        }
        let unknown = "space".parse::<Preset>().unwrap_err().to_string();
        assert_eq!(unknown, "`space` is no environment; there are hgcal, lhc, datacenter, ground");
    }

    #[test]
    fn rates_of_ones_own() {
        close(Rate::of_flux(2e-14, 1e6).unwrap().strikes_per_s(100, 1.0), 2e-6);
        close(Rate::of_device(0.5).unwrap().strikes_per_s(7, 1.0), 2.0);
        // 40 million inferences a second, each with an error in one of a billion bits.
        close(Rate::of_inference(1e-9).unwrap().strikes_per_s(10, 40e6), 0.4);
        assert_eq!(Rate::of_flux(0.0, 1e8).unwrap().strikes_per_s(100, 1.0), 0.0);
        let errors = [
            Rate::of_flux(-1e-14, 1.0),
            Rate::of_flux(1e-14, f64::NAN),
            Rate::of_flux(1e200, 1e200),
            Rate::of_inference(-0.1),
            Rate::of_device(0.0),
            Rate::of_device(f64::INFINITY),
        ];
        for (error, expected) in
            errors.into_iter().zip(["-0.00000000000001", "NaN", "inf", "-0.1", "is 0 s", "is inf s"])
        {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("finite number"), "{error}");
        }
    }
}
