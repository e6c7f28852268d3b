//! Reads starts and ends of tasks, most of a log, as Spark writes them. Nine tenths of an end are not
//! needed, and are only passed over.
//!
//! Invariant: whatever is read here, serde_json reads the same way; what is unusual or damaged is
//! left to it.

use super::super::quick::{MOST_DEPTH, Rest, once};
use super::event::{EndReason, Input, Output, ShuffleRead, ShuffleWrite, TaskEvent, TaskInfo, TaskMetrics};

/// The event of a line, if it is as almost all are.
pub(super) fn task_event(line: &[u8]) -> Option<TaskEvent<'_>> {
    let (mut stage, mut task, mut why, mut measured) = (None, None, None, None);
    let mut rest = Rest::of(line);
    rest.object(|key, rest| match key {
        b"Stage ID" => once(&mut stage, rest.number()?),
        b"Task Info" => once(&mut task, info(rest)?),
        b"Task End Reason" => once(&mut why, reason(rest)?),
        b"Task Metrics" => once(&mut measured, metrics(rest)?),
        _ => rest.pass(MOST_DEPTH),
    })?;
    let event = TaskEvent { stage: stage?, info: task?, reason: why.unwrap_or_default(), metrics: measured };
    (rest.len() == 0).then_some(event)
}

/// What is known of a task.
fn info<'l>(rest: &mut Rest<'l>) -> Option<TaskInfo<'l>> {
    let (mut task, mut launch, mut executor, mut host, mut fetching, mut finish) = (None, None, None, None, None, None);
    let (mut speculative, mut failed, mut killed) = (None, None, None);
    rest.object(|key, rest| match key {
        b"Task ID" => once(&mut task, rest.number()?),
        b"Launch Time" => once(&mut launch, rest.number()?),
        b"Executor ID" => once(&mut executor, rest.string()?),
        b"Host" => once(&mut host, rest.string()?),
        b"Speculative" => once(&mut speculative, rest.boolean()?),
        b"Failed" => once(&mut failed, rest.boolean()?),
        b"Killed" => once(&mut killed, rest.boolean()?),
        b"Getting Result Time" => once(&mut fetching, rest.number()?),
        b"Finish Time" => once(&mut finish, rest.number()?),
        _ => rest.pass(MOST_DEPTH),
    })?;
    Some(TaskInfo {
        task: task?,
        launch: launch?,
        executor: executor?,
        host: host.unwrap_or_default(),
        speculative: speculative.unwrap_or_default(),
        failed: failed.unwrap_or_default(),
        killed: killed.unwrap_or_default(),
        fetching: fetching.unwrap_or_default(),
        finish: finish.unwrap_or_default(),
    })
}

/// Why it ended.
fn reason<'l>(rest: &mut Rest<'l>) -> Option<EndReason<'l>> {
    let mut reason = None;
    rest.object(|key, rest| match key {
        b"Reason" => once(&mut reason, rest.string()?),
        _ => rest.pass(MOST_DEPTH),
    })?;
    Some(EndReason { reason: reason.unwrap_or_default() })
}

/// What was measured of a task.
fn metrics(rest: &mut Rest<'_>) -> Option<TaskMetrics> {
    let (mut deserialize, mut run, mut serialize) = (None, None, None);
    let (mut read, mut write, mut input, mut output) = (None, None, None, None);
    rest.object(|key, rest| match key {
        b"Executor Deserialize Time" => once(&mut deserialize, rest.number()?),
        b"Executor Run Time" => once(&mut run, rest.number()?),
        b"Result Serialization Time" => once(&mut serialize, rest.number()?),
        b"Shuffle Read Metrics" => {
            let [wait, records] = numbers(rest, [b"Fetch Wait Time", b"Total Records Read"])?;
            once(&mut read, ShuffleRead { wait, records })
        }
        b"Shuffle Write Metrics" => {
            let [time, records] = numbers(rest, [b"Shuffle Write Time", b"Shuffle Records Written"])?;
            once(&mut write, ShuffleWrite { time, records })
        }
        b"Input Metrics" => {
            let [records] = numbers(rest, [b"Records Read"])?;
            once(&mut input, Input { records })
        }
        b"Output Metrics" => {
            let [records] = numbers(rest, [b"Records Written"])?;
            once(&mut output, Output { records })
        }
        _ => rest.pass(MOST_DEPTH),
    })?;
    Some(TaskMetrics {
        deserialize: deserialize.unwrap_or_default(),
        run: run.unwrap_or_default(),
        serialize: serialize.unwrap_or_default(),
        read: read.unwrap_or_default(),
        write: write.unwrap_or_default(),
        input: input.unwrap_or_default(),
        output: output.unwrap_or_default(),
    })
}

/// The numbers of an object with some keys; 0 for one that is missing.
fn numbers<const N: usize>(rest: &mut Rest<'_>, keys: [&[u8]; N]) -> Option<[u64; N]> {
    let mut numbers = [None; N];
    rest.object(|key, rest| match keys.iter().position(|known| *known == key) {
        Some(place) => once(&mut numbers[place], rest.number()?),
        None => rest.pass(MOST_DEPTH),
    })?;
    Some(numbers.map(Option::unwrap_or_default))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"Event":"SparkListenerTaskStart","Stage ID":7,"Stage Attempt ID":0,"Task Info":{"Task ID":12,"Index":0,"Launch Time":1700000000010,"Executor ID":"1","Host":"host1","Locality":"ANY","Speculative":true,"Getting Result Time":0,"Finish Time":0,"Failed":false,"Killed":false,"Accumulables":[]}}"#;
    const END: &str = r#"{"Event":"SparkListenerTaskEnd","Stage ID":7,"Task Type":"ResultTask","Task End Reason":{"Reason":"ExceptionFailure","Description":"a \"b\" \\ \n","Stack Trace":[{"Line Number":-1},{"Line Number":30}]},"Task Info":{"Task ID":12,"Launch Time":1700000000010,"Executor ID":"driver","Finish Time":1700000000510,"Failed":true,"Accumulables":[{"ID":1,"Name":"internal.metrics.executorRunTime","Update":490,"Internal":true,"Metadata":null},{"ID":2,"Value":"0.5"}]},"Task Executor Metrics":{},"Task Metrics":{"Executor Deserialize Time":3,"Executor Run Time":490,"Result Serialization Time":1,"Shuffle Read Metrics":{"Remote Blocks Fetched":1,"Fetch Wait Time":5,"Total Records Read":10},"Shuffle Write Metrics":{"Shuffle Write Time":1500000,"Shuffle Records Written":57},"Input Metrics":{"Records Read":9},"Output Metrics":{"Records Written":8},"Updated Blocks":[[],{}]}}"#;

    fn both(line: &[u8]) -> (Option<TaskEvent<'_>>, Option<TaskEvent<'_>>) {
        (task_event(line), serde_json::from_slice(line).ok())
    }

    #[test]
    fn usual_lines_are_read_and_others_left() {
        for line in [START, END, &START.replace(':', ": "), &END.replace("Fetched\":1,", "Fetched\":1.25,")] {
            let (quick, whole) = both(line.as_bytes());
            assert!(quick.is_some() && quick == whole, "{quick:?} {whole:?}");
        }
        let odd = [
            START.replace(":7", ":7.5"),
            START.replace(":7", ":07"),
            START.replace(":7", ":\"7\""),
            START.replace(":12", ":99999999999999999999"),
            START.replace("host1", "host\\u0031"),
            START.replace("\"Index\":0", "\"Stage ID\":0,\"Task ID\":1"),
            START.replace("[]", &("[".repeat(40) + &"]".repeat(40))),
            START.to_owned() + "}",
            END.replace("{\"Reason\":\"ExceptionFailure\"", "{\"Reason\":null"),
        ];
        assert!(odd.iter().all(|line| task_event(line.as_bytes()).is_none()), "{odd:?}");
    }

    /// Whatever has happened to a line: it is read as serde_json reads it, or not at all.
    #[test]
    fn damaged_lines_are_not_read_otherwise_than_by_serde_json() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut quick_ones, mut damaged) = (0, 0);
        for _ in 0..100_000 {
            let mut line = if random.bool() { START } else { END }.as_bytes().to_vec();
            for _ in 0..random.usize(1..3) {
                let at = random.usize(0..line.len());
                match random.u8(0..6) {
                    0 => line[at] = random.u8(..),
                    1 => line[at] = b"\"\\{}[],:0-.etn 9"[random.usize(0..16)],
                    2 => drop(line.remove(at)),
                    3 => line.insert(at, b"\"\\{}[],:0-.etn 9"[random.usize(0..16)]),
                    4 => line[at] ^= 1 << random.u8(0..8),
                    _ => {
                        let to = (at + random.usize(0..60)).min(line.len());
                        let copy = line[at..to].to_vec();
                        line.splice(at..at, copy);
                    }
                }
            }
            let (quick, whole) = both(&line);
            quick_ones += u32::from(quick.is_some());
            damaged += u32::from(whole.is_none());
            assert!(quick.is_none() || quick == whole, "{}: {quick:?} {whole:?}", String::from_utf8_lossy(&line));
        }
        assert!(quick_ones > 10_000 && damaged > 10_000, "{quick_ones} {damaged}");
    }
}
