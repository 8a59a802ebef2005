//! How much memory this process may have, and what says so.
//!
//! A control group's limit stands in the group's own folder, which `/proc/self/cgroup` names
//! below a mount that `/proc/self/mountinfo` names; the limits of the groups around it hold too.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use procfs::{Current as _, Meminfo};
use rustix::process::{Resource, getrlimit};

/// The least of the limits on this process's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// So much it may have.
    pub bytes: u64,
    /// What limits it.
    pub source: Source,
}

/// What limits the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The machine has no more.
    Machine,
    /// `RLIMIT_AS`.
    AddressSpace,
    /// `RLIMIT_DATA`.
    Data,
    /// This file of a control group.
    ControlGroup(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the machine's memory"),
            Self::AddressSpace => f.write_str("the limit on its address space (RLIMIT_AS)"),
            Self::Data => f.write_str("the limit on its data (RLIMIT_DATA)"),
            Self::ControlGroup(file) => write!(f, "its control group ({})", file.display()),
        }
    }
}

/// The limit of this process; `None` if nobody tells.
#[must_use]
pub fn memory_limit() -> Option<MemoryLimit> {
    let machine = Meminfo::current().ok().map(|memory| (memory.mem_total, Source::Machine));
    let address_space = getrlimit(Resource::As).current.map(|b| (b, Source::AddressSpace));
    let data = getrlimit(Resource::Data).current.map(|bytes| (bytes, Source::Data));
    [machine, address_space, data]
        .into_iter()
        .flatten()
        .map(|(bytes, source)| MemoryLimit { bytes, source })
        .chain(of_control_groups(Path::new("/")))
        .min_by_key(|limit| limit.bytes)
}

/// The files in which a control group of version 2 and one of version 1 has its limit.
const LIMIT_V2: &str = "memory.max";
const LIMIT_V1: &str = "memory.limit_in_bytes";

/// The limits of all control groups that this process is in, and of those around them. `root` is
/// where `/proc` and the mounts are. What cannot be read or understood limits nothing.
fn of_control_groups(root: &Path) -> Vec<MemoryLimit> {
    let groups = fs::read(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mounts: Vec<Mount> = mounts.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect();
    let mut limits = Vec::new();
    for (is_v1, group) in groups.split(|&byte| byte == b'\n').filter_map(parse_group) {
        for mount in mounts.iter().filter(|mount| mount.is_v1 == is_v1) {
            limits.extend(mount.limits(root, group));
        }
    }
    limits
}

/// Where the memory controller of one version is mounted.
#[derive(Debug)]
struct Mount {
    is_v1: bool,
    /// The group that the mount point shows.
    group: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Of a line of `mountinfo`, if it is such a mount.
    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        // The number of fields before the dash varies.
        let dash = fields.iter().position(|field| *field == b"-")?;
        let is_v1 = match *fields.get(dash + 1)? {
            b"cgroup2" => false,
            b"cgroup" => true,
            _ => return None,
        };
        let mut options = fields.get(dash + 3)?.split(|&byte| byte == b',');
        if is_v1 && !options.any(|option| option == b"memory") {
            return None;
        }
        Some(Self { is_v1, group: unescaped(fields.get(3)?), point: unescaped(fields.get(4)?) })
    }

    /// The limits of a group below this mount, and of those around it as far as they are seen.
    fn limits(&self, root: &Path, group: &Path) -> Vec<MemoryLimit> {
        // A process in a container may see itself elsewhere than its mount does.
        let below = group.strip_prefix(&self.group).unwrap_or(Path::new(""));
        let is_inside = below.components().all(|part| matches!(part, Component::Normal(_)));
        let below = if is_inside { below } else { Path::new("") };
        let file = if self.is_v1 { LIMIT_V1 } else { LIMIT_V2 };
        below
            .ancestors()
            .filter_map(|group| {
                let file = self.point.join(group).join(file);
                let text = fs::read_to_string(root.join(file.strip_prefix("/").ok()?)).ok()?;
                // Version 2 says `max` where there is no limit, version 1 a huge number.
                let bytes = text.trim().parse().ok()?;
                Some(MemoryLimit { bytes, source: Source::ControlGroup(file) })
            })
            .collect()
    }
}

/// Of a line of `/proc/self/cgroup`: whether it is version 1's, and the group, if it is one that
/// may limit memory.
fn parse_group(line: &[u8]) -> Option<(bool, &Path)> {
    let mut fields = line.splitn(3, |&byte| byte == b':');
    let (hierarchy, controllers) = (fields.next()?, fields.next()?);
    let group = Path::new(OsStr::from_bytes(fields.next()?));
    let is_v2 = hierarchy == b"0" && controllers.is_empty();
    let is_v1 = controllers.split(|&byte| byte == b',').any(|name| name == b"memory");
    (is_v2 || is_v1).then_some((is_v1, group))
}

/// A path of `mountinfo`, in which a space is `\040`.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).filter(|_| *first == b'\\').and_then(octal);
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2_AT_SYS: &str =
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1_AT_SYS: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
         32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";

    /// A root folder with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    /// The least limit of control groups, and its file.
    fn least(files: &[(&str, &str)]) -> Option<(u64, String)> {
        let root = root(files);
        let least = of_control_groups(root.path()).into_iter().min_by_key(|limit| limit.bytes)?;
        let Source::ControlGroup(file) = least.source else { panic!("{least:?}") };
        Some((least.bytes, file.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_group_of_version_2_is_found_by_the_process() {
        let files = [
            ("proc/self/cgroup", "0::/user/kv\n"),
            ("proc/self/mountinfo", V2_AT_SYS),
            ("sys/fs/cgroup/user/memory.max", "max\n"),
            ("sys/fs/cgroup/user/kv/memory.max", "1000\n"),
        ];
        let file = "/sys/fs/cgroup/user/kv/memory.max";
        assert_eq!(least(&files), Some((1000, file.to_owned())));
    }

    #[test]
    fn a_group_around_it_limits_it_too() {
        let files = [
            ("proc/self/cgroup", "0::/a/b/c\n"),
            ("proc/self/mountinfo", V2_AT_SYS),
            ("sys/fs/cgroup/a/memory.max", "500\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/c/memory.max", "1000\n"),
        ];
        assert_eq!(least(&files), Some((500, "/sys/fs/cgroup/a/memory.max".to_owned())));
    }

    #[test]
    fn version_1_has_a_file_and_a_mount_of_its_own() {
        let files = [
            ("proc/self/cgroup", "4:cpu,memory:/kv\n1:cpu:/other\n0::/\n"),
            ("proc/self/mountinfo", V1_AT_SYS),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/kv/memory.limit_in_bytes", "268435456\n"),
            ("sys/fs/cgroup/cpu/kv/memory.limit_in_bytes", "1\n"),
            ("sys/fs/cgroup/memory/other/memory.limit_in_bytes", "2\n"),
        ];
        let file = "/sys/fs/cgroup/memory/kv/memory.limit_in_bytes";
        assert_eq!(least(&files), Some((268_435_456, file.to_owned())));
    }

    #[test]
    fn a_container_sees_its_group_at_the_mount_point() {
        let mountinfo =
            "35 31 0:32 /docker/ab /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        for group in ["/docker/ab", "/elsewhere", "/", "/../x"] {
            let files = [
                ("proc/self/cgroup", format!("4:memory:{group}\n")),
                ("proc/self/mountinfo", mountinfo.to_owned()),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "77".to_owned()),
                ("sys/fs/cgroup/x/memory.limit_in_bytes", "1".to_owned()),
            ];
            let files: Vec<_> = files.iter().map(|(file, text)| (*file, &**text)).collect();
            let file = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
            assert_eq!(least(&files), Some((77, file.to_owned())), "{group}");
        }
    }

    #[test]
    fn a_mount_point_may_have_spaces() {
        let files = [
            ("proc/self/cgroup", "0::/k v:1\n"),
            ("proc/self/mountinfo", "31 23 0:28 / /c\\040g rw - cgroup2 none rw\n"),
            ("c g/k v:1/memory.max", "5\n"),
        ];
        assert_eq!(least(&files), Some((5, "/c g/k v:1/memory.max".to_owned())));
    }

    #[test]
    fn what_is_absent_or_malformed_limits_nothing() {
        let huge = "99999999999999999999999999\n";
        for limit in ["max\n", "", "-1\n", "12 34\n", "0x10\n", huge] {
            let files = [
                ("proc/self/cgroup", "0::/a\n4:memory:/a\n"),
                ("proc/self/mountinfo", &format!("{V2_AT_SYS}{V1_AT_SYS}")[..]),
                ("sys/fs/cgroup/a/memory.max", limit),
                ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", limit),
            ];
            assert_eq!(least(&files), None, "{limit:?}");
        }
        assert_eq!(least(&[]), None);
        for (groups, mounts) in [
            ("", V2_AT_SYS),
            ("0:/a\n\n:::\n0", V2_AT_SYS),
            ("0::/a\n", ""),
            ("0::/a\n", "31 - cgroup2\n - - - \n31 23 0:28 / /sys/fs/cgroup rw cgroup2 x rw\n"),
            ("0::/a\n", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2\n"),
        ] {
            let files = [
                ("proc/self/cgroup", groups),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/a/memory.max", "1\n"),
                ("sys/fs/cgroup/memory.max", "max\n"),
            ];
            assert_eq!(least(&files), None, "{groups:?} {mounts:?}");
        }
    }

    #[test]
    fn this_process_has_a_limit() {
        let limit = memory_limit().expect("the machine has memory");
        assert!(limit.bytes > 0 && !limit.source.to_string().is_empty());
    }
}
