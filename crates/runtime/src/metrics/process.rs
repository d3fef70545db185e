//! Figures of the process itself, under the names that Prometheus' own clients give them.

use super::{Group, Metric, Registry};

const BUILD: Metric = Metric::new("millstream_build_info", "1, with the version of the engine.");
const MEMORY: Metric = Metric::new("process_resident_memory_bytes", "Memory that the process has in use.");

/// Begins to give them, as long as the group lives.
pub(crate) fn group(registry: &Registry) -> Group {
    let group = registry.group(&[]);
    group.gauge(BUILD, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
    group.asked(MEMORY, &[], || resident_bytes(&std::fs::read_to_string("/proc/self/status").ok()?));
    group
}

/// From the text of `/proc/self/status`, which only Linux has.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_read_in_bytes_and_what_cannot_be_read_is_left_out() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident_bytes("VmRSS: many kB\n"), None);
        let registry = Registry::default();
        let _process = group(&registry);
        assert!(registry.text().contains("millstream_build_info{version=\"0"), "{}", registry.text());
    }
}
