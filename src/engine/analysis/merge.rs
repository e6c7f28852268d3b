//! Merges the logs of several processes by time, without reading ahead in any of them.

use crate::activity::Record;
use crate::time::Timestamp;

/// The blocks of several logs, always from the one that is furthest behind; ties go to the first.
///
/// Workers of different logs have different numbers, as those of one timely cluster do. An error
/// ends the log that it comes from; the others go on.
pub fn merged<I, E>(logs: impl IntoIterator<Item = I>) -> impl Iterator<Item = Result<Vec<Record>, E>>
where
    I: Iterator<Item = Result<Vec<Record>, E>>,
{
    // How far each log has come.
    let mut logs: Vec<(Timestamp, I)> = logs.into_iter().map(|log| (Timestamp::ZERO, log)).collect();
    std::iter::from_fn(move || {
        while let Some(least) = (0..logs.len()).min_by_key(|&log| logs[log].0) {
            match logs[least].1.next() {
                Some(Ok(block)) => {
                    let reached = block.iter().map(Record::at).max().unwrap_or_default();
                    logs[least].0 = reached.max(logs[least].0);
                    return Some(Ok(block));
                }
                ended => {
                    logs.remove(least);
                    if ended.is_some() {
                        return ended;
                    }
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkerId;

    #[test]
    fn the_log_that_is_furthest_behind_is_read_next() {
        let block = |worker: u32, at: u64| Ok(vec![Record::UpTo { worker: WorkerId(worker), at: Timestamp(at) }]);
        let logs = [vec![block(0, 5), block(0, 30), block(0, 40)], vec![block(1, 10), Err("cut off"), block(1, 11)], vec![block(2, 20)]];
        let found: Vec<_> = merged(logs.map(Vec::into_iter)).map(|block| block.map(|block| block[0].at().0)).collect();
        assert_eq!(found, [Ok(5), Ok(10), Ok(20), Ok(30), Err("cut off"), Ok(40)]);
    }
}
