//! Progress bars for long work: rate and time left, on standard error, only where a person looks on.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar over `total` steps of `unit`; hidden when `quiet` or when standard error is no terminal.
pub fn bar(total: u64, unit: &str, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    let template = format!("{{msg}} [{{bar:30}}] {{human_pos}}/{{human_len}} {unit} ({{rate}} {unit}/s, {{eta}} left)");
    let style = ProgressStyle::with_template(&template).expect("the template is well formed");
    let style = style.progress_chars("=> ").with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
        let rate = state.per_sec();
        let digits = usize::from(rate < 100.0);
        // A bar that cannot be written is not worth an error.
        let _ = write!(out, "{rate:.digits$}");
    });
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// A sign of life for work whose steps are not known beforehand.
pub fn spinner(message: &'static str, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{msg} {spinner} {elapsed}").expect("the template is well formed");
    bar.set_style(style.tick_chars("|/-\\ "));
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
