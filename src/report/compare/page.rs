//! A comparison as one HTML page that needs nothing but a browser: no network, no other file.
//!
//! Tables and words stand in the page itself and read without scripts. A script draws charts and error maps from data in the
//! page, with Apache `ECharts`, which is in the page too. The page's own policy lets no other script run and loads nothing, and
//! names that come from users (labels, files, rankings) are text everywhere. The page depends on the comparison alone: no time
//! stamps.

mod data;
mod encode;
mod sections;
mod table;
mod tables;

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use sha2::{Digest, Sha256};

use super::Comparison;
use data::PageData;

/// The template; what stands between its tags is escaped.
const TEMPLATE: &str = include_str!("page/page.html");
/// Sets the theme before anything is painted.
const THEME: &str = include_str!("page/theme.js");
const STYLE: &str = include_str!("page/page.css");
/// Apache `ECharts` 6.1.0, its build for common charts, as published.
const LIBRARY: &str = include_str!("../../../assets/echarts/echarts.common.min.js");
/// The page's own script, in parts that see each other.
const CODE: [&str; 5] = [
    include_str!("page/base.js"),
    include_str!("page/charts.js"),
    include_str!("page/missions.js"),
    include_str!("page/map.js"),
    include_str!("page/start.js"),
];

/// The page of a comparison.
pub fn html(comparison: &Comparison) -> String {
    let code = format!("(() => {{\n'use strict';\n{}}})();\n", CODE.concat());
    let data = encode::script_json(&PageData::new(comparison));
    let labels: Vec<&str> = comparison.systems.iter().map(|system| system.label.as_str()).collect();
    let is_verified = tables::verified(comparison).iter().any(Option::is_some);
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_template("page", TEMPLATE).expect("the template is ours and well-formed");
    let page = templates.get_template("page").expect("it was added above").render(context! {
        title => labels.join(", "),
        version => env!("CARGO_PKG_VERSION"),
        policy => policy(&[THEME, LIBRARY, &code]),
        style => Value::from_safe_string(STYLE.to_owned()),
        theme => Value::from_safe_string(THEME.to_owned()),
        library => Value::from_safe_string(LIBRARY.to_owned()),
        code => Value::from_safe_string(code),
        data => Value::from_safe_string(data),
        is_verified,
        sections => Serde(sections::sections(comparison)),
        sources => Serde(sections::sources(comparison)),
    });
    page.expect("the template names only what it is given")
}

/// What the page may do: run these scripts, style itself, nothing else.
fn policy(scripts: &[&str]) -> String {
    let hash = |script: &&str| format!("'sha256-{}'", encode::base64(&Sha256::digest(script.as_bytes())));
    let hashes: Vec<String> = scripts.iter().map(hash).collect();
    format!("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}", hashes.join(" "))
}
