//! What to do next to a table's layout.
//!
//! Segments fall into classes by their rows, each eight times the size of the one before. Eight
//! segments of a class become one of the next; so do fewer that together fill a segment. A segment of
//! half the full size or more is left alone until most of its rows are gone. So the number of segments
//! is their number at full size plus a few of each class, and a row is rewritten once a class.
//!
//! While nothing is written and the watermark stands, there is an end to this: what a job makes has no row
//! that is gone, so a flush leaves fewer runs, a merge of several fewer segments, and a rewrite of one
//! fewer that are worn. It takes at most twice as many jobs as there are runs and segments.

/// Segments of a class that are merged.
const FAN_IN: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentShape {
    pub(crate) id: u32,
    pub(crate) rows: u64,
    /// Rows that nobody sees any more.
    pub(crate) gone: u64,
    /// Belongs to an open transaction.
    pub(crate) pending: bool,
}

impl SegmentShape {
    fn live(&self) -> u64 {
        self.rows.saturating_sub(self.gone)
    }

    /// Whether most of its rows are gone.
    fn is_worn(&self) -> bool {
        self.gone > self.rows / 2
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Job {
    /// Make a segment of the oldest runs.
    Flush { runs: usize },
    /// Make one segment of these.
    Merge { segments: Vec<u32> },
}

/// `runs`: rows of the frozen runs, oldest first. `full`: rows of a full segment.
pub(crate) fn pick(runs: &[u64], segments: &[SegmentShape], full: u64) -> Option<Job> {
    if !runs.is_empty() {
        let mut rows = 0;
        let fit = runs.iter().take_while(|run| {
            rows += **run;
            rows <= full
        });
        return Some(Job::Flush { runs: fit.count().max(1) });
    }
    let ours: Vec<&SegmentShape> = segments.iter().filter(|segment| !segment.pending).collect();
    if let Some(worn) = ours.iter().find(|segment| segment.is_worn()) {
        return Some(Job::Merge { segments: vec![worn.id] });
    }
    // Smallest class first.
    let mut upper = full / 2;
    let mut classes = Vec::new();
    while upper > 0 {
        let lower = upper / FAN_IN as u64;
        classes.push((if lower < 1_024 { 0 } else { lower }, upper));
        upper = if lower < 1_024 { 0 } else { lower };
    }
    for (lower, upper) in classes.into_iter().rev() {
        let class: Vec<&&SegmentShape> =
            ours.iter().filter(|segment| (lower..upper).contains(&segment.live())).collect();
        let rows: u64 = class.iter().map(|segment| segment.live()).sum();
        if class.len() < FAN_IN && rows < full {
            continue;
        }
        let mut together = 0;
        let fit = class.iter().take_while(|segment| {
            together += segment.live();
            together <= full
        });
        let segments: Vec<u32> = fit.map(|segment| segment.id).collect();
        if segments.len() > 1 {
            return Some(Job::Merge { segments });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: u64 = 1 << 20;

    fn segments(rows: &[u64]) -> Vec<SegmentShape> {
        let shape = |(id, rows): (u32, &u64)| SegmentShape { id, rows: *rows, gone: 0, pending: false };
        (0..).zip(rows).map(shape).collect()
    }

    fn merged(rows: &[u64]) -> Option<Vec<u32>> {
        match pick(&[], &segments(rows), FULL) {
            Some(Job::Merge { segments }) => Some(segments),
            None => None,
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn runs_are_flushed_first_and_together_as_far_as_they_fit() {
        let many = segments(&[10; 20]);
        assert_eq!(pick(&[65_536; 3], &many, FULL), Some(Job::Flush { runs: 3 }));
        assert_eq!(pick(&[600_000, 600_000], &[], FULL), Some(Job::Flush { runs: 1 }));
        assert_eq!(pick(&[2 * FULL], &[], FULL), Some(Job::Flush { runs: 1 }));
    }

    #[test]
    fn segments_of_a_class_are_merged_when_there_are_enough() {
        assert_eq!(merged(&[10; 7]), None);
        assert_eq!(merged(&[10; 8]), Some((0..8).collect()));
        assert_eq!(merged(&[60_000; 9]), Some((0..9).collect()));
        assert_eq!(merged(&[400_000; 3]), Some(vec![0, 1]));
        assert_eq!(merged(&[600_000; 30]), None);
        assert_eq!(merged(&[1_000_000, 10, 10, 500_000, 10, 10]), None);
    }

    #[test]
    fn a_worn_segment_is_rewritten_and_a_pending_one_left_alone() {
        let mut s = segments(&[1_000_000, 1_000_000]);
        s[1].gone = 500_001;
        assert_eq!(pick(&[], &s, FULL), Some(Job::Merge { segments: vec![1] }));
        s[1].pending = true;
        assert_eq!(pick(&[], &s, FULL), None);
    }

    /// Many small flushes: the number of segments stays small, and rows are rewritten a few times.
    #[test]
    fn the_number_of_segments_stays_logarithmic() {
        let mut sizes: Vec<u64> = Vec::new();
        let (mut written, mut total) = (0, 0);
        for flushed in std::iter::repeat_n(20_000, 2_000) {
            sizes.push(flushed);
            total += flushed;
            while let Some(job) = merged(&sizes) {
                let rows: u64 = job.iter().map(|id| sizes[*id as usize]).sum();
                written += rows;
                let mut id = 0;
                sizes.retain(|_| {
                    id += 1;
                    !job.contains(&(id - 1))
                });
                sizes.push(rows);
            }
        }
        assert!(sizes.len() < 100, "{}", sizes.len());
        assert!(written < 4 * total, "{}", written / total);
    }

    /// Runs and segments as they are after a job that was done while nothing else happened.
    fn done(job: &Job, runs: &mut Vec<u64>, segments: &mut Vec<SegmentShape>, hidden: u64) {
        let made = match job {
            Job::Flush { runs: count } => runs.drain(..count).sum::<u64>().saturating_sub(hidden),
            Job::Merge { segments: ids } => {
                let ours = segments.iter().filter(|segment| ids.contains(&segment.id));
                ours.map(SegmentShape::live).sum()
            }
        };
        let next = segments.iter().map(|segment| segment.id + 1).max().unwrap_or(0);
        if let Job::Merge { segments: ids } = job {
            assert!(segments.iter().all(|segment| !segment.pending || !ids.contains(&segment.id)));
            segments.retain(|segment| !ids.contains(&segment.id));
        }
        if made > 0 {
            segments.push(SegmentShape { id: next, rows: made, gone: 0, pending: false });
        }
    }

    proptest! {
        /// Whatever there is, jobs come to an end while nothing is written and the watermark stands.
        #[test]
        fn every_job_brings_the_end_nearer(
            runs in prop::collection::vec((1u64..5_000, 0u64..5_000), 0..12),
            shapes in prop::collection::vec((1u64..5_000, 0u64..101, prop::bool::weighted(0.1)), 0..60),
            full in prop_oneof![1u64..50, 50u64..20_000, Just(FULL)],
        ) {
            let shape = |(id, (rows, percent, pending)): (u32, &(u64, u64, bool))| {
                SegmentShape { id, rows: *rows, gone: rows * percent / 100, pending: *pending }
            };
            let mut segments: Vec<SegmentShape> = (0..).zip(&shapes).map(shape).collect();
            let (mut runs, hidden): (Vec<u64>, Vec<u64>) = runs.into_iter().unzip();
            let mut hidden = hidden.into_iter();
            let left = |runs: &[u64], segments: &[SegmentShape]| {
                let worn = segments.iter().filter(|segment| segment.is_worn()).count();
                2 * runs.len() + segments.len() + worn
            };
            while let Some(job) = pick(&runs, &segments, full) {
                let before = left(&runs, &segments);
                done(&job, &mut runs, &mut segments, hidden.next().unwrap_or(0));
                prop_assert!(left(&runs, &segments) < before, "{:?}", job);
            }
            prop_assert!(runs.is_empty() && !segments.iter().any(|s| s.is_worn() && !s.pending));
        }
    }
}
