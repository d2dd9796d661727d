//! Capabilities of a file, in the words of getcap(8).

/// By number (capability.h).
const NAMES: [&str; 41] = [
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
];
const EFFECTIVE: u32 = 1;

/// What an attribute `security.capability` says: `cap_net_raw=ep`, and of whose namespace if it is not the first's
/// (`[rootid=100000]`). Nothing if it is none of versions 1 to 3 (linux/capability.h, `vfs_cap_data`).
#[must_use]
pub fn capability(value: &[u8]) -> Option<String> {
    let (words, rest) = value.as_chunks::<4>();
    let words: Vec<_> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (magic, words) = words.split_first().filter(|_| rest.is_empty())?;
    let pairs = match (magic >> 24, words.len()) {
        (1, 2) => 1,
        (2, 4) | (3, 5) => 2,
        _ => return None,
    };
    let set = |at: usize| (0..pairs).fold(0_u64, |set, pair| set | u64::from(words[2 * pair + at]) << (32 * pair));
    let (permitted, inheritable) = (set(0), set(1));
    let effective = if magic & EFFECTIVE != 0 { "e" } else { "" };
    let named = |bit: usize| NAMES.get(bit).map_or_else(|| format!("cap_{bit}"), |name| format!("cap_{name}"));
    let mut groups = Vec::new();
    for (members, flags) in [
        (permitted & !inheritable, "p"),
        (permitted & inheritable, "ip"),
        (inheritable & !permitted, "i"),
    ] {
        let names: Vec<_> = (0..64).filter(|bit| members >> bit & 1 == 1).map(named).collect();
        if !names.is_empty() {
            groups.push(format!("{}={effective}{flags}", names.join(",")));
        }
    }
    if groups.is_empty() {
        groups.push("=".to_owned());
    }
    if let [_, _, _, _, root] = words {
        groups.push(format!("[rootid={root}]"));
    }
    Some(groups.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[u32], expected: Option<&str>) {
        let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(capability(&value).as_deref(), expected);
    }

    #[test]
    fn as_getcap_says_it() {
        check(&[0x0200_0001, 1 << 13, 0, 0, 0], Some("cap_net_raw=ep"));
        check(&[0x0200_0000, 1 << 13, 1 << 13 | 1 << 10, 0, 0], Some("cap_net_raw=ip cap_net_bind_service=i"));
        check(&[0x0300_0001, 1 << 12 | 1 << 13, 0, 1 << 7, 0, 100_000], Some("cap_net_admin,cap_net_raw,cap_bpf=ep [rootid=100000]"));
        check(&[0x0100_0001, 1 << 31, 0], Some("cap_setfcap=ep"));
        check(&[0x0200_0001, 0, 0, 1 << 31, 0], Some("cap_63=ep"));
        check(&[0x0200_0000, 0, 0, 0, 0], Some("="));
        check(&[0x0200_0001, 1, 0, 0], None);
        check(&[0x0400_0001, 1, 0, 0, 0], None);
        assert_eq!(capability(b""), None);
    }
}
