//! The shipped classifier of digits, by every way that needs no schedule.

use super::cli::{Folder, run};
use trivote::import::npy::read_npz;

#[test]
fn the_shipped_classifier_is_as_good_as_its_page_says() {
    let folder = Folder::new();
    let out = folder.path("out.npz");
    let text = run(&["infer", "digits_cnn", "-o", &out]);
    assert!(text.contains("correctly classified: 489 of 500 (97.80 %)"), "{text}");
    let bytes = std::fs::read(&out).unwrap();
    let latent = read_npz("out.npz", &bytes, "latent").unwrap();
    assert_eq!(latent.shape(), [500, 10]);
}

#[test]
fn a_classifier_is_imported_as_one() {
    let folder = Folder::new();
    let design = folder.path("digits");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/hw_models/digits_cnn/model.h5");
    run(&["import", model, "--input-format", "ap_ufixed<5,1>", "-o", &design]);
    let text = std::fs::read_to_string(format!("{design}/design.toml")).unwrap();
    for line in ["kind = \"tensor\"", "error = \"misprediction\"", "io = \"stream\""] {
        assert!(text.contains(line), "{text}");
    }
    let archive = folder.path("cnn");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keras_cnn.keras");
    run(&["import", model, "--accelerator", "cnn", "--batchnorm-format", "ap_fixed<18,8>", "-o", &archive]);
    let text = std::fs::read_to_string(format!("{archive}/design.toml")).unwrap();
    assert!(text.contains("file = \"model.keras\"") && text.contains("batchnorm_format = \"ap_fixed<18,8,"), "{text}");
    assert!(folder.names().contains(&"cnn".to_owned()));
}
