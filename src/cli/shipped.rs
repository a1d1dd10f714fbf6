//! The designs of `hw_models/`, carried in the program so that their names work anywhere.

use crate::import::design::DesignFiles;

type Files = &'static [(&'static str, &'static [u8])];

/// A design's description and model, and whatever else it names.
macro_rules! design {
    ($name:literal $(, $more:literal)*) => {
        (
            $name,
            &[
                ("design.toml", include_bytes!(concat!("../../hw_models/", $name, "/design.toml")).as_slice()),
                ("model.h5", include_bytes!(concat!("../../hw_models/", $name, "/model.h5")).as_slice()),
                $(($more, include_bytes!(concat!("../../hw_models/", $name, "/", $more)).as_slice()),)*
            ],
        )
    };
}

static DESIGNS: [(&str, Files); 4] = [
    design!("econ_t_small"),
    design!("econ_t_medium"),
    design!("econ_t_large"),
    design!("digits_cnn", "images.npy", "labels.npy"),
];

/// The shipped design of that name.
pub fn design(name: &str) -> Option<DesignFiles> {
    DESIGNS.iter().find(|(design, _)| *design == name).map(|(_, files)| DesignFiles::Shipped(files))
}

/// Names of the shipped designs, for messages.
pub fn design_names() -> String {
    DESIGNS.map(|(name, _)| name).join(", ")
}
