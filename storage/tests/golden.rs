//! The format, byte by byte, as `FORMAT.md` draws it. A test that fails here means a new format version, not a new table.

use ringtail_storage::crash::CrashDisk;
use ringtail_storage::{Acknowledge, FORMAT_VERSION, Kind, Log, LogOptions, Reach};

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 512,
    segment_bytes_min: 512,
    limit_bytes: 1 << 20,
    staged_bytes_max: 4096,
    acknowledge: Acknowledge::Synced,
};

/// The first segment: two records and a tombstone in a commit, and a record after it.
const FIRST: &[(usize, &str)] = &[
    (0, "52544c4f47534547 0100400001000000 0002000000000000 afcd1d7b39a820e2"),
    (32, "f465b9a16a9e786e 4f45098000000000 0000000000000000 000000004bb52dfb"),
    (64, "df61bbe220000000 010000000000007f 0000000000000000"),
    (88, "0000000000000000 0000000000000000 0100000000000000 0100000000000000"),
    (120, "72b2da4005000080 0100000000000001 0807060504030201"),
    (144, "68656c6c6f000000"),
    (152, "dd66453a10000080 0200000000000001 0700000000000000"),
    (176, "eeeeeeeeeeeeeeee eeeeeeeeeeeeeeee"),
    (192, "9b1c9ca900000000 03000000000000fd 0700000000000000"),
    (216, "4d262aa520000000 040000000000007f 0000000000000000"),
    (240, "7800000001000000 0000000000000000 0100000000000000 0200000000000000"),
    (272, "8b9c418a08000000 0400000000000001 0900000000000000"),
    (296, "cccccccccccccccc"),
    (304, "44ad5bc520000000 050000000000007f 0000000000000000"),
    (328, "1001000001000000 0000000000000000 0100000002000000 0300000000000000"),
];

/// The beginning of the second segment.
const SECOND: &[(usize, &str)] = &[
    (0, "52544c4f47534547 0100400002000000 0002000000000000 afcd1d7b39a820e2"),
    (32, "f465b9a16a9e786e 9b74a85100000000 0000000000000000 0000000022372f1e"),
    (64, "665859e020000000 050000000000007f 0000000000000000"),
    (88, "1001000001000000 6801000001000000 0100000000000000 0100000000000000"),
    (120, "9a50405290000000 0500000000000001 0800000000000000"),
    (144, "dddddddddddddddd dddddddddddddddd dddddddddddddddd dddddddddddddddd"),
    (176, "dddddddddddddddd dddddddddddddddd dddddddddddddddd dddddddddddddddd"),
    (208, "dddddddddddddddd dddddddddddddddd dddddddddddddddd dddddddddddddddd"),
    (240, "dddddddddddddddd dddddddddddddddd dddddddddddddddd dddddddddddddddd"),
    (272, "dddddddddddddddd dddddddddddddddd"),
    (288, "d2f9c65920000000 060000000000007f 0000000000000000"),
    (312, "1001000001000000 0000000000000000 0100000000000000 0200000000000000"),
    (344, "9db6734c20000000 060000000000007f 0000000000000000"),
    (368, "5801000002000000 0000000000000000 0100000000000000 0400000000000000"),
];

fn written() -> CrashDisk {
    let disk = CrashDisk::new(512, 0);
    let (mut log, _) = Log::open_on(disk.clone(), OPTIONS, |_, _| {}).unwrap();
    let (set, clear) = (Kind::new(1).unwrap(), Kind::new(0x7D).unwrap());
    log.append(set, 0x0102_0304_0506_0708, &[b"hel", b"lo"]).unwrap();
    let first = log.append(set, 7, &[&[0xEE; 16]]).unwrap();
    log.append_tombstone(clear, 7, &[]).unwrap();
    log.release(first.at);
    let mut commit = log.commit_target(Reach::Synced).unwrap();
    let outcome = commit.carry_out();
    log.committed(commit, outcome).unwrap();
    log.append(set, 9, &[&[0xCC; 8]]).unwrap();
    log.append(set, 8, &[&[0xDD; 144]]).unwrap();
    log.close().unwrap();
    disk
}

fn unhex(lines: &[(usize, &str)], len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (at, hex) in lines {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        for (index, pair) in digits.chunks(2).enumerate() {
            bytes[at + index] = u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
        }
    }
    bytes
}

#[test]
fn the_bytes_are_what_the_format_says() {
    assert_eq!(FORMAT_VERSION, 1);
    let disk = written();
    for (name, lines) in [("0000000001.seg", FIRST), ("0000000002.seg", SECOND)] {
        let (found, expected) = (disk.contents(name).unwrap(), unhex(lines, 512));
        let differs = (0..512).step_by(8).find(|at| found[*at..at + 8] != expected[*at..at + 8]);
        if let Some(at) = differs {
            panic!("{name} byte {at}: {:02x?} for {:02x?}", &found[at..at + 8], &expected[at..at + 8]);
        }
    }
}

#[test]
fn the_bytes_that_the_format_says_are_read() {
    let disk = CrashDisk::new(512, 0);
    disk.put_contents("0000000001.seg", Some(unhex(FIRST, 512)));
    disk.put_contents("0000000002.seg", Some(unhex(SECOND, 512)));
    let mut found = Vec::new();
    let (log, recovery) = Log::open_on(disk, OPTIONS, |record, _| {
        found.push((record.kind.number(), record.tombstone, record.seq, record.key, record.body.to_vec()));
    })
    .unwrap();
    assert_eq!(
        found,
        [
            (1, false, 1, 0x0102_0304_0506_0708, b"hello".to_vec()),
            (1, false, 2, 7, vec![0xEE; 16]),
            (0x7D, true, 3, 7, vec![]),
            (1, false, 4, 9, vec![0xCC; 8]),
            (1, false, 5, 8, vec![0xDD; 144]),
        ]
    );
    assert!(recovery.closed_cleanly);
    assert_eq!(log.next_seq(), 6);
}
