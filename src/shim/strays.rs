//! What programs sent around the proxy: in the cage's network there is loopback alone, and the kernel counts what found
//! no way. The shim runs in that network before and after each step, so the difference is the step's.

use std::fs;

use super::json::Json;

/// The counts so far (proc_pid_net(5)): without a route by IPv4 and IPv6, and datagrams to a port of loopback where
/// nobody is; what the kernel does not tell is 0.
pub fn counted() -> Json {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (four, six) = (text("/proc/net/snmp"), text("/proc/net/snmp6"));
    let udp = column(&four, "Udp:", "NoPorts") + row(&six, "Udp6NoPorts");
    let counts =
        [("ipv4", column(&four, "Ip:", "OutNoRoutes")), ("ipv6", row(&six, "Ip6OutNoRoutes")), ("udp", udp)];
    Json::Object(counts.map(|(name, count)| (name.into(), Json::Scalar(count.to_string()))).into())
}

/// The value of `name` in the table whose lines (names, then values) begin with `table`.
fn column(text: &str, table: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(table));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.find(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// The value in the line that begins with `name`.
fn row(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().map(|line| line.split_whitespace());
    let found = lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()).flatten());
    found.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let four = "Ip: Forwarding OutDiscards OutNoRoutes\nIp: 2 0 7\nIcmp: InMsgs\nIcmp: 1\n\
            Udp: InDatagrams NoPorts\nUdp: 3 4\nUdpLite: InDatagrams NoPorts\nUdpLite: 0 9\n";
        assert_eq!(column(four, "Ip:", "OutNoRoutes"), 7);
        assert_eq!(column(four, "Udp:", "NoPorts"), 4);
        assert_eq!(column(four, "Udp:", "Other"), 0);
        let six = "Ip6OutDiscards                  \t5\nIp6OutNoRoutes                  \t6\n";
        assert_eq!((row(six, "Ip6OutNoRoutes"), row(six, "Udp6NoPorts"), row("", "x")), (6, 0, 0));
    }
}
