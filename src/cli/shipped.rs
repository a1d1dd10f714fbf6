//! The designs and technology tables of `hw_models/`, carried in the program so that their names work anywhere.

use anyhow::bail;

use crate::import::DesignFiles;

type Files = &'static [(&'static str, &'static [u8])];

macro_rules! design {
    ($name:literal) => {
        (
            $name,
            &[
                ("design.toml", include_bytes!(concat!("../../hw_models/", $name, "/design.toml"))),
                ("model.h5", include_bytes!(concat!("../../hw_models/", $name, "/model.h5"))),
            ] as Files,
        )
    };
}

const DESIGNS: [(&str, Files); 3] = [design!("econ_t_small"), design!("econ_t_medium"), design!("econ_t_large")];

const TECHNOLOGIES: [(&str, &str); 3] = [
    ("osu018", include_str!("../../hw_models/technologies/osu018.toml")),
    ("sky130hd", include_str!("../../hw_models/technologies/sky130hd.toml")),
    ("xc7", include_str!("../../hw_models/technologies/xc7.toml")),
];

/// The shipped design of that name.
pub fn design(name: &str) -> Option<DesignFiles> {
    DESIGNS.iter().find(|(design, _)| *design == name).map(|(_, files)| DesignFiles::Shipped(files))
}

/// Names of the shipped designs, for messages.
pub fn design_names() -> String {
    DESIGNS.map(|(name, _)| name).join(", ")
}

/// Text of the shipped technology table of that name.
///
/// # Errors
/// Lists the names that exist.
pub fn technology(name: &str) -> anyhow::Result<&'static str> {
    match TECHNOLOGIES.iter().find(|(technology, _)| *technology == name) {
        Some((_, text)) => Ok(text),
        None => bail!(
            "technology `{name}` is neither a file nor one of the shipped tables ({})",
            TECHNOLOGIES.map(|(name, _)| name).join(", ")
        ),
    }
}
