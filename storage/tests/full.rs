//! A log that was full takes new records again once enough of the old ones have died, whatever sizes they and the segments
//! have: ending a record takes room as well, and so does moving those that stay.

mod common;

use common::{Subject, options, options_from_smallest, recover};
use ringtail_storage::crash::{CrashDisk, seeded};
use ringtail_storage::{LogOptions, Reach};

const SEEDS: u64 = 1_500;
/// Keys from here on stay.
const LASTING: u64 = 1_000_000;
/// Turns within which something must come of cleaning.
const TURNS_MAX: usize = 5_000;
/// Records that are refused before the log counts as full.
const REFUSED: usize = 20;

/// What one seed decides.
struct Case {
    choose: Box<dyn FnMut(usize) -> usize>,
    subject: Subject,
    options: LogOptions,
    /// One record in so many is as large as they come; 0 for none.
    large_in: usize,
}

impl Case {
    fn new(seed: u64, of_many_sizes: bool) -> Case {
        let mut choose = Box::new(seeded(seed));
        let segment_bytes = [4 << 10, 16 << 10, 64 << 10][choose(3)];
        let sized = if of_many_sizes {
            let segment_bytes_min = [512, (segment_bytes / 16).max(512), segment_bytes / 4][choose(3)];
            LogOptions { segment_bytes_min, ..options_from_smallest(segment_bytes) }
        } else {
            options(segment_bytes)
        };
        let limit_bytes = segment_bytes * (4 + choose(8) as u64);
        let options = LogOptions { limit_bytes, staged_bytes_max: 1 << 20, ..sized };
        let subject = Subject::new(CrashDisk::new(512, seed), options);
        let large_in = [0, 10, 1][choose(3)];
        Case { choose, subject, options, large_in }
    }

    /// Bytes of the next value.
    fn length(&mut self) -> usize {
        let most = self.subject.log.body_bytes_max() - 4;
        let is_large = self.large_in > 0 && (self.choose)(self.large_in) == 0;
        (self.choose)(if is_large { most } else { most / 50 })
    }

    /// A slice of cleaning, a commit, and whatever jobs there are.
    fn tend(&mut self) {
        let budget = 1 + (self.choose)(3_000) as u32;
        self.subject.log.clean_slice(budget, &mut self.subject.keeper).unwrap();
        assert!(self.subject.commit(Reach::Synced));
        self.subject.work();
        let stats = self.subject.log.stats();
        assert!(stats.disk_bytes <= self.options.limit_bytes, "{stats:?}");
    }

    /// Sets values until some are refused, an eighth of the limit at most to stay. How many are there, of each kind.
    fn fill(&mut self) -> (u64, u64) {
        let lasting_in = [3, 10, 50][(self.choose)(3)];
        let (mut brief, mut lasting, mut lasting_bytes, mut refused) = (0, 0, 0, 0);
        while refused < REFUSED {
            let length = self.length();
            let bytes = length as u64 + 64;
            let stays = (self.choose)(lasting_in) == 0 && lasting_bytes + bytes < self.options.limit_bytes / 8;
            match self.subject.set(if stays { LASTING + lasting } else { brief }, length) {
                Ok(()) if stays => (lasting, lasting_bytes) = (lasting + 1, lasting_bytes + bytes),
                Ok(()) => brief += 1,
                Err(_) => refused += 1,
            }
            if (self.choose)(3) > 0 {
                self.tend();
            }
        }
        (brief, lasting)
    }

    /// Tends the log, which is asked now and then whether there is room, until `is_done`.
    fn tend_until(&mut self, mut is_done: impl FnMut(&mut Subject) -> bool) {
        let mut turns = 0;
        while !is_done(&mut self.subject) {
            turns += 1;
            assert!(turns < TURNS_MAX, "stuck: {:?}, {:?}", self.options, self.subject.log.stats());
            self.tend();
            if turns % 5 == 0 {
                self.subject.log.retry_room();
            }
        }
    }

    fn run(mut self, seed: u64) {
        let (brief, lasting) = self.fill();
        for key in 0..brief {
            self.tend_until(|subject| subject.clear(key).is_ok());
            self.tend();
        }
        self.tend_until(|subject| subject.log.full().is_none());
        assert_eq!(self.subject.keeper.values.len() as u64, lasting);
        self.subject.log.sync_now().unwrap();
        let crashed = self.subject.disk.crash(&mut seeded(seed));
        let (_, keeper, _) = recover(&crashed, self.options).unwrap();
        assert_eq!(keeper.values, self.subject.keeper.values);
    }
}

#[test]
fn a_full_log_of_one_size_comes_free() {
    (0..SEEDS).for_each(|seed| Case::new(seed, false).run(seed));
}

#[test]
fn a_full_log_of_many_sizes_comes_free() {
    (0..SEEDS).for_each(|seed| Case::new(seed, true).run(seed));
}
