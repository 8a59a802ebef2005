//! What `deploy/` has fits what a server shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ask::get;
use super::exposition::{Format, parse};
use super::start;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Runs promtool in `deploy/`; none where it is not installed.
fn promtool(arguments: &[&str], stdin: Stdio) -> Option<String> {
    let mut command = Command::new("promtool");
    let ran = command.args(arguments).current_dir(deploy()).stdin(stdin).output();
    let Ok(output) = ran else {
        host::output::to_stderr("not tested: promtool is not installed (Debian: prometheus)");
        return None;
    };
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {told}");
    Some(told)
}

#[test]
fn the_alert_rules_are_valid_and_fire_when_they_should() {
    promtool(&["check", "rules", "alerts.yml"], Stdio::null());
    promtool(&["test", "rules", "alerts.test.yml"], Stdio::null());
    promtool(&["check", "config", "prometheus.yml"], Stdio::null());
}

#[test]
fn promtool_finds_no_fault_with_the_text_format() {
    let (_server, address) = start(&[]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), get(address, "/metrics", "").body).expect("it is written");
    let text = fs::File::open(file.path()).expect("it is there");
    let told = promtool(&["check", "metrics"], text.into());
    assert_eq!(told.unwrap_or_default(), "");
}

#[test]
fn the_dashboard_and_the_alerts_ask_only_for_what_there_is() {
    let (_server, address) = start(&[]);
    let families = parse(&get(address, "/metrics", "").body, Format::Text).expect("it is valid");
    let samples = families.values().flat_map(|family| &family.samples);
    let shown: BTreeSet<&str> = samples.map(|(name, ..)| name.as_str()).collect();
    let mut asked = 0;
    for file in ["grafana-dashboard.json", "alerts.yml", "alerts.test.yml"] {
        let text = fs::read_to_string(deploy().join(file)).expect("it is there");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("kv_") || word.starts_with("process_")) {
            assert!(shown.contains(word), "{file}: {word}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

#[test]
fn the_dashboard_is_whole() {
    let text = fs::read_to_string(deploy().join("grafana-dashboard.json")).expect("it is there");
    let dashboard: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("it has panels");
    assert!(panels.len() >= 12);
    for panel in panels {
        assert!(!panel["title"].as_str().unwrap_or_default().is_empty(), "{panel}");
        let targets = panel["targets"].as_array().expect("it asks for something");
        assert!(targets.iter().all(|target| target["expr"].is_string()), "{panel}");
    }
}
