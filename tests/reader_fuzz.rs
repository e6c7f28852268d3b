//! Readers meet damaged files: mutated traces of every format, none of which may panic, hang, take more than 64 MB or go unreported.
//!
//! What is allocated is counted for a whole process, so that every test has one to itself. The same cases every time. `THALWEG_FUZZ_CASES` says how many a format (200,000 if it is not set), `THALWEG_FUZZ_SEED` where they begin.

#[path = "suite/alone.rs"]
mod alone;
#[path = "suite/traces/mod.rs"]
mod traces;

use alone::is_alone;
use peak_alloc::PeakAlloc;
use thalweg::activity::{BinLoad, LogWriter, Record};
use thalweg::id::{BinId, InstanceId, OperatorId, WorkerId};
use thalweg::readers::Format;
use thalweg::readers::ds2::{self, Content, Files, System};
use thalweg::time::{Epoch, Timestamp};
use traces::*;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const MOST_BYTES: usize = 64 << 20;

/// Numbers from a seed, all different (Steele, Lea, Flood: SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    /// A range of `bytes`, mostly a short one.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let from = self.below(bytes.len());
        let most = if self.below(4) == 0 { bytes.len() } else { 16 };
        from..(from + 1 + self.below(most)).min(bytes.len())
    }
}

/// Numbers at which something may overflow, as texts and as MessagePack and varints.
const EXTREMES: [&[u8]; 12] = [
    b"18446744073709551615",
    b"9223372036854775807",
    b"99999999999999999999",
    b"-1",
    b"0",
    b"1e308",
    &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
    &[0xce, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff],
];

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(random.range(bytes))),
            4 => {
                let copy = bytes[random.range(bytes)].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => {
                let range = random.range(bytes);
                bytes.splice(range, other[random.range(other)].to_vec());
            }
            6 => drop(bytes.splice(at..at, EXTREMES[random.below(EXTREMES.len())].iter().copied())),
            // A number is replaced by an extreme one, so that what is around it still holds.
            _ => {
                let number = |byte: &u8| byte.is_ascii_digit();
                let Some(from) = bytes[at..].iter().position(number).map(|skip| at + skip) else { continue };
                let to = bytes[from..].iter().position(|byte| !number(byte)).map_or(bytes.len(), |length| from + length);
                bytes.splice(from..to, EXTREMES[random.below(6)].iter().copied());
            }
        }
    }
}

/// Says which case it was when a test fails inside of it.
struct Case(Format, u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: THALWEG_FUZZ_SEED={} THALWEG_FUZZ_CASES=1", self.0, self.1);
        }
    }
}

/// What a case must report: a trace that was cut inside of something, or a log that was changed anywhere.
enum Expected {
    Damage,
    Anything,
}

/// Reads mutated traces; `make` gives one from a seed, with what must be reported. Returns how many were damaged and how many odd.
fn fuzz(format: Format, make: impl Fn(&mut Random) -> (Vec<u8>, Expected)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("THALWEG_FUZZ_SEED").unwrap_or(0);
    let cases = number("THALWEG_FUZZ_CASES").unwrap_or(200_000);
    let (mut damaged, mut sound, mut highest) = (0u64, 0u64, 0);
    for seed in first..first + cases {
        let _case = Case(format, seed);
        let mut random = Random(seed);
        let (bytes, expected) = make(&mut random);
        let length = bytes.len();
        // Recognition is a reader too.
        let by_content = random.below(4) == 0;
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let outcome = read_bytes(bytes, Some(format).filter(|_| !by_content));
        let peak = ALLOCATED.peak_usage().saturating_sub(before);
        assert!(peak < MOST_BYTES, "{peak} bytes at once");
        highest = highest.max(peak);
        let reported = match &outcome {
            Ok(outcome) => {
                assert!(outcome.errors.len() <= 1, "damage ends a file");
                assert!(outcome.records.len() <= 64 + 16 * length, "{} records of {length} bytes", outcome.records.len());
                if format != Format::ActivityLog {
                    check_promises(&outcome.records);
                }
                !outcome.errors.is_empty() || !outcome.oddities.is_empty()
            }
            Err(error) => !error.to_string().is_empty(),
        };
        assert!(reported || matches!(expected, Expected::Anything), "damage that nobody reports");
        damaged += u64::from(outcome.is_err() || outcome.is_ok_and(|outcome| !outcome.errors.is_empty()));
        sound += u64::from(!reported);
    }
    println!("{format}: {cases} cases, {damaged} damaged, {sound} without a remark, at most {highest} bytes at once");
    // The cases reach both behind the first check of a reader and into its errors.
    assert!(cases < 1000 || (damaged > cases / 10 && damaged < cases), "{damaged} of {cases} damaged");
}

fn truncated(mut bytes: Vec<u8>, random: &mut Random, reported: impl Fn(usize) -> bool) -> (Vec<u8>, Expected) {
    let at = random.below(bytes.len());
    bytes.truncate(at);
    (bytes, if reported(at) { Expected::Damage } else { Expected::Anything })
}

#[test]
fn damaged_activity_logs() {
    if !is_alone("damaged_activity_logs") {
        return;
    }
    let instance = InstanceId::new(OperatorId(1), 2);
    let load = BinLoad { bin: BinId(3), arrivals: 10, useful: std::time::Duration::from_micros(5), keys: 7, bytes: 112 };
    let mut blocks: Vec<Vec<Record>> = vec![
        vec![
            Record::Operator { operator: OperatorId(1), name: "count".to_owned() },
            Record::Bins { instance, at: Timestamp(90), loads: vec![load; 5] },
        ],
        vec![
            Record::UpTo { worker: WorkerId(0), at: Timestamp(100) },
            Record::Source { source: InstanceId::new(OperatorId(0), 0), at: Timestamp(5), due: 2.5, emitted: 2 },
        ],
    ];
    blocks.push((0..20).map(|n| Record::EpochCompleted { at: Timestamp(n * 1000), worker: WorkerId(0), epoch: Epoch(n) }).collect());
    let mut writer = LogWriter::new(Vec::new()).unwrap();
    blocks.iter().for_each(|block| writer.append(block).unwrap());
    let log = writer.finish().unwrap();
    let mut ends = vec![12];
    while ends[ends.len() - 1] < log.len() {
        let begin = ends[ends.len() - 1];
        ends.push(begin + 8 + u32::from_le_bytes(log[begin..begin + 4].try_into().unwrap()) as usize);
    }
    // A block whose checksum is right whatever it holds.
    let sealed = |payload: &[u8]| {
        let mut bytes = log[..12].to_vec();
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(payload).to_le_bytes());
        bytes.extend(payload);
        bytes
    };
    fuzz(Format::ActivityLog, |random| match random.below(8) {
        0 => truncated(log.clone(), random, |at| !ends.contains(&at)),
        1 => {
            let mut bytes = log.clone();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 + random.below(255) as u8;
            (bytes, Expected::Damage)
        }
        2..5 => {
            let mut bytes = log.clone();
            mutate(&mut bytes, &log, random);
            (bytes, Expected::Anything)
        }
        _ => {
            let block = random.below(ends.len() - 1);
            let mut payload = log[ends[block] + 8..ends[block + 1]].to_vec();
            mutate(&mut payload, &log, random);
            (sealed(&payload), Expected::Anything)
        }
    });
}

/// The largest blocks there may be, of the records that grow most when decoded.
#[test]
fn whole_blocks_of_small_records_stay_in_bounds() {
    if !is_alone("whole_blocks_of_small_records_stay_in_bounds") {
        return;
    }
    // A record of 490,000 bins of six bytes each, and 990,000 records of three bytes each.
    let number = |number: u32| postcard::to_stdvec(&number).unwrap();
    let bins = [[1, 7, 2, 3, 4].as_slice(), &number(490_000), &[0; 490_000 * 6]].concat();
    let up_to = [number(990_000), [11, 0, 0].repeat(990_000)].concat();
    for (what, payload) in [("bins", bins), ("reports", up_to)] {
        let mut bytes = b"THALWEGA\x04\0\0\0".to_vec();
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&payload).to_le_bytes());
        bytes.extend(payload);
        let trace = thalweg::readers::read(vec![("block".into(), Box::new(std::io::Cursor::new(bytes)))], None).unwrap();
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let mut records = 0;
        for block in trace {
            match block {
                Ok(block) => records += block.len(),
                Err(error) => panic!("{what}: {error} after {records} records"),
            }
        }
        let peak = ALLOCATED.peak_usage().saturating_sub(before);
        println!("{what}: {records} records, {peak} bytes at once");
        assert!(records > 0 && peak < MOST_BYTES, "{what}: {peak} bytes at once");
    }
}

#[test]
fn damaged_snailtrail_traces() {
    if !is_alone("damaged_snailtrail_traces") {
        return;
    }
    let mut writer = Writer::pyramids(2, 3, 300);
    writer.start(1000, 70, PROCESSING, 500).start(1100, 70, WAITING, -1).end(1200, 70, WAITING, -1).end(70_000, 70, PROCESSING, 500);
    let trace = writer.bytes;
    let (mut ends, mut integers, mut rest) = (vec![0], 0, &trace[..]);
    while rmp::decode::read_int::<i64, _>(&mut rest).is_ok() {
        integers += 1;
        if integers % 7 == 0 {
            ends.push(trace.len() - rest.len());
        }
    }
    fuzz(Format::Snailtrail, |random| {
        if random.below(8) == 0 {
            return truncated(trace.clone(), random, |at| !ends.contains(&at));
        }
        let mut bytes = trace.clone();
        mutate(&mut bytes, &trace, random);
        (bytes, Expected::Anything)
    });
}

#[test]
fn damaged_timely_logs() {
    if !is_alone("damaged_timely_logs") {
        return;
    }
    let log = include_str!("data/timely_documented_log.clj");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains('(') && !line.starts_with(';')).collect();
    let some = |random: &mut Random| {
        let from = random.below(lines.len());
        lines[from..(from + 1 + random.below(12)).min(lines.len())].to_vec()
    };
    fuzz(Format::TimelyText, |random| {
        let some_lines = some(random);
        let mut bytes = some_lines.join("\n").into_bytes();
        if random.below(8) == 0 {
            // Inside of an event or a name: behind the first character of a line, before the last bracket that is no comment's.
            let inside = |at: usize| {
                let mut begin = 0;
                some_lines.iter().any(|line| {
                    let event = line.split(";;").next().unwrap_or_default().rfind(')').unwrap_or(0);
                    let inside = begin < at && at <= begin + event;
                    begin += line.len() + 1;
                    inside
                })
            };
            return truncated(bytes, random, inside);
        }
        let other = some(random).join("\n").into_bytes();
        mutate(&mut bytes, &other, random);
        (bytes, Expected::Anything)
    });
}

/// An event log in short: what readers look at, in the shape of the real one.
fn spark_lines() -> Vec<String> {
    let job = r#"{"Event":"SparkListenerJobStart","Job ID":0,"Submission Time":1490376317235,"Stage IDs":[0,1]}"#;
    let mut lines = vec![
        r#"{"Event":"SparkListenerLogStart","Spark Version":"2.1.0"}"#.to_owned(),
        r#"{"Event":"SparkListenerExecutorAdded","Executor ID":"0","Executor Info":{"Host":"h","Total Cores":2}}"#.to_owned(),
        job.to_owned(),
    ];
    let info = |task: u64, launch: u64, finish: u64| {
        format!(
            r#""Task Info":{{"Task ID":{task},"Launch Time":{launch},"Executor ID":"0","Getting Result Time":0,"Finish Time":{finish}}}"#
        )
    };
    for (stage, begin) in [(0, 1_490_376_317_276u64), (1, 1_490_376_320_000)] {
        lines.push(format!(
            r#"{{"Event":"SparkListenerStageSubmitted","Stage Info":{{"Stage ID":{stage},"Stage Name":"map at <console>:26","Submission Time":{begin},"Parent IDs":[]}}}}"#
        ));
        for task in 0..3 {
            let (task, launch) = (3 * stage + task, begin + 10 * task);
            lines.push(format!(r#"{{"Event":"SparkListenerTaskStart","Stage ID":{stage},{}}}"#, info(task, launch, 0)));
        }
        for task in 0..3 {
            let (task, launch) = (3 * stage + task, begin + 10 * task);
            let metrics = r#""Executor Deserialize Time":3,"Executor Run Time":50,"Result Serialization Time":1,"Shuffle Read Metrics":{"Fetch Wait Time":7,"Total Records Read":5},"Shuffle Write Metrics":{"Shuffle Write Time":61092}"#;
            let task = info(task, launch, launch + 70);
            lines.push(format!(r#"{{"Event":"SparkListenerTaskEnd","Stage ID":{stage},{task},"Task Metrics":{{{metrics}}}}}"#));
        }
        lines.push(format!(r#"{{"Event":"SparkListenerStageCompleted","Stage Info":{{"Stage ID":{stage},"Stage Name":"map"}}}}"#));
    }
    lines.push(r#"{"Event":"SparkListenerJobEnd","Job ID":0,"Completion Time":1490376321000}"#.to_owned());
    lines.push(r#"{"Event":"SparkListenerApplicationEnd","Timestamp":1490376322000}"#.to_owned());
    lines
}

#[test]
fn damaged_spark_logs() {
    if !is_alone("damaged_spark_logs") {
        return;
    }
    let lines = spark_lines();
    let sound = read_bytes(lines.join("\n").into_bytes(), None).unwrap();
    assert!(sound.errors.is_empty() && sound.oddities.is_empty(), "{:?} {:?}", sound.errors, sound.oddities);
    fuzz(Format::Spark, |random| {
        if random.below(8) == 0 {
            return truncated(lines.join("\n").into_bytes(), random, |_| true);
        }
        // Some lines are lost, some come twice, some are changed.
        let mut kept: Vec<Vec<u8>> = lines.iter().filter(|_| random.below(4) > 0).map(|line| line.clone().into_bytes()).collect();
        if kept.is_empty() {
            kept.push(lines[2].clone().into_bytes());
        }
        let twice = kept[random.below(kept.len())].clone();
        kept.insert(random.below(kept.len() + 1), twice);
        for _ in 0..1 + random.below(2) {
            let at = random.below(kept.len());
            // Half of them by a number alone: such a line still holds.
            if random.below(2) == 0 {
                let numbers: Vec<usize> = kept[at]
                    .windows(2)
                    .enumerate()
                    .filter(|(_, two)| two[0] == b':' && two[1].is_ascii_digit())
                    .map(|(n, _)| n + 1)
                    .collect();
                if !numbers.is_empty() {
                    let from = numbers[random.below(numbers.len())];
                    let to = from + kept[at][from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let number =
                        [b"0".as_slice(), b"18446744073709551615", b"9223372036854775807", b"65536", b"1490376317999"][random.below(5)];
                    kept[at].splice(from..to, number.iter().copied());
                    continue;
                }
            }
            let other = lines[random.below(lines.len())].as_bytes();
            mutate(&mut kept[at], other, random);
        }
        (kept.join(&b'\n'), Expected::Anything)
    });
}

/// Documents of JSON, mutated anywhere.
fn fuzz_document(format: Format, document: &str) {
    let sound = read_bytes(document.as_bytes().to_vec(), None).unwrap();
    assert!(sound.errors.is_empty() && sound.oddities.is_empty() && sound.records.len() > 5, "{:?} {:?}", sound.errors, sound.oddities);
    fuzz(format, |random| {
        let mut bytes = document.as_bytes().to_vec();
        mutate(&mut bytes, document.as_bytes(), random);
        (bytes, Expected::Anything)
    });
}

#[test]
fn damaged_chrome_traces() {
    if is_alone("damaged_chrome_traces") {
        let document = r#"{"traceEvents": [{"ph":"X","name":"a","pid":1,"tid":"x","ts":60000010,"dur":5.5},
            {"ph":"s","name":"go","id":7,"pid":1,"tid":"x","ts":60000012.25}, {"ph":"f","name":"go","id":7,"pid":1,"tid":2,"ts":60000020},
            {"ph":"B","name":"b","pid":1,"tid":2,"ts":60000020},{"ph":"E","pid":1,"tid":2,"ts":60000030},
            {"ph":"M","name":"thread_name","pid":1,"tid":2,"args":{"name":"two"}}]}"#;
        fuzz_document(Format::Chrome, document);
    }
}

#[test]
fn damaged_jaeger_traces() {
    if is_alone("damaged_jaeger_traces") {
        let document = r#"{"data":[{"traceID":"A","processes":{"S":{"serviceName":"s"}},"spans":[
            {"spanID":"A","operationName":"a","startTime":1000,"duration":100,"processID":"S","references":[]},
            {"spanID":"B","operationName":"b","startTime":1010,"duration":50,"processID":"S","references":[{"refType":"CHILD_OF","spanID":"A"}]},
            {"spanID":"C","operationName":"c","startTime":1060,"duration":90,"processID":"S","references":[{"refType":"CHILD_OF","spanID":"A"}]}]}]}"#;
        fuzz_document(Format::Jaeger, document);
    }
}

#[test]
fn damaged_open_telemetry_traces() {
    if is_alone("damaged_open_telemetry_traces") {
        let document = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},"scopeSpans":[{"spans":[
            {"traceId":"0a","spanId":"01","name":"a","kind":2,"startTimeUnixNano":"1000000000","endTimeUnixNano":"1000100000","status":{}},
            {"traceId":"0a","spanId":"02","parentSpanId":"01","name":"b","kind":4,"startTimeUnixNano":"1000010000","endTimeUnixNano":"1000060000"}]}]}]}
            {"resourceSpans":[{"scopeSpans":[{"spans":[
            {"traceId":"0a","spanId":"03","name":"c","kind":"SPAN_KIND_CONSUMER","startTimeUnixNano":"1000070000","endTimeUnixNano":"1000160000",
             "links":[{"traceId":"0a","spanId":"02"}],"status":{"code":2}}]}]}]}"#;
        fuzz_document(Format::Otlp, document);
    }
}

#[test]
fn damaged_packed_logs() {
    if !is_alone("damaged_packed_logs") {
        return;
    }
    let text = spark_lines().join("\n").into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &text).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
    let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut frame, &text).unwrap();
    let block = lz4_flex::block::compress(&text);
    let checksum = twox_hash::XxHash32::oneshot(0x9747_b28c, &text) & 0x0fff_ffff;
    let header =
        [&b"LZ4Block"[..], &[0x25], &(block.len() as u32).to_le_bytes(), &(text.len() as u32).to_le_bytes(), &checksum.to_le_bytes()];
    let end = [&b"LZ4Block"[..], &[0x15], &[0; 12]].concat();
    let blocks = [header.concat(), block, end].concat();
    let packed = [gzip.finish().unwrap(), zstd, frame.finish().unwrap(), blocks];
    for packed in &packed {
        let sound = read_bytes(packed.clone(), None).unwrap();
        assert!(sound.errors.is_empty() && sound.oddities.is_empty(), "{:?} {:?}", sound.errors, sound.oddities);
    }
    fuzz(Format::Spark, |random| {
        let which = random.below(packed.len());
        let mut bytes = packed[which].clone();
        mutate(&mut bytes, &packed[(which + 1) % packed.len()], random);
        (bytes, Expected::Anything)
    });
}

/// The files of a case: a dataflow and rates that fit it, and rates that were given by hand.
fn ds2_case(random: &mut Random) -> [Vec<u8>; 4] {
    let operators = 2 + random.below(5);
    let instances: Vec<usize> = (0..operators).map(|_| 1 + random.below(3)).collect();
    let node = |place: usize| format!("o{place},name {place},{}", instances[place]);
    let mut topology = String::from("# id,name,instances,id,name,instances\n");
    let mut rates = String::new();
    for (place, &count) in instances.iter().enumerate() {
        if place > 0 {
            topology += &format!("{},{}\n", node(random.below(place)), node(place));
        }
        for instance in 0..count {
            for time in 0..3 {
                let rate = random.below(1_000_000) as f64 / 7.0;
                rates += &format!("o{place},{instance},{count},{time},{rate},{},{rate},1e3\n", rate * 2.0);
            }
        }
    }
    [topology, rates, "o0,1000\n".to_owned(), "o1,-1\n".to_owned()].map(String::into_bytes)
}

#[test]
fn damaged_files_of_ds2() {
    if !is_alone("damaged_files_of_ds2") {
        return;
    }
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (first, cases) = (number("THALWEG_FUZZ_SEED").unwrap_or(0), number("THALWEG_FUZZ_CASES").unwrap_or(200_000));
    let timely = [
        "Operates(OperatesEvent { id: 0, addr: [0, 0, 1], name: \"In\" }))\nOperates(OperatesEvent { id: 2, addr: [0, 0, 2], name: \"Map\" }))\n\
         Channels(ChannelsEvent { id: 1, scope_addr: [0, 0], source: (1, 0), target: (2, 0) }))\n",
        "replayed converted: 9 (Rates(Op(0, 0)), (0.0, 10.0, 0.0, 5.0))\nreplayed converted: 9 (Rates(Op(0, 2)), (4.5, 1.0, 2.0, 1.0))\n",
        "0,100\n",
        "2,50\n",
    ];
    let mut refused = 0;
    for seed in first..first + cases {
        let mut random = Random(seed);
        let system = [System::Flink, System::Heron, System::Timely][random.below(3)];
        let mut texts = if system == System::Timely { timely.map(|text| text.as_bytes().to_vec()) } else { ds2_case(&mut random) };
        if seed % 16 > 0 {
            let (damaged, other) = (random.below(4), random.below(4));
            let other = texts[other].clone();
            mutate(&mut texts[damaged], &other, &mut random);
        }
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let content = |place: usize| Content { path: std::path::Path::new("file"), bytes: &texts[place] };
        let files = Files { topology: content(0), rates: content(1), source_rates: Some(content(2)), operator_rates: Some(content(3)) };
        let outcome = std::panic::catch_unwind(|| ds2::read(system, &files)).unwrap_or_else(|_| panic!("THALWEG_FUZZ_SEED={seed}"));
        let peak = ALLOCATED.peak_usage().saturating_sub(before);
        assert!(peak < MOST_BYTES, "seed {seed}: {peak} bytes at once");
        assert!(seed % 16 > 0 || outcome.is_ok(), "seed {seed}: a sound case is read: {outcome:?}");
        match outcome {
            Ok(measured) => {
                let rates = measured.epochs.iter().flat_map(|(_, rates)| rates);
                let fields = |rates: &ds2::OperatorRates| {
                    [rates.true_processing, rates.true_output, rates.observed_processing, rates.observed_output]
                };
                assert!(rates.flat_map(fields).all(|rate| rate.is_finite() && rate >= 0.0), "seed {seed}");
                assert!(measured.epochs.iter().all(|(_, epoch)| epoch.len() == measured.topology.operators().len()), "seed {seed}");
            }
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.starts_with("file, line ") && error.contains(": expected ") && error.contains(", found "),
                    "seed {seed}: {error}"
                );
                refused += 1;
            }
        }
    }
    println!("files of DS2: {cases} cases, {refused} refused");
    assert!(cases < 1000 || (refused > cases / 10 && refused < cases * 15 / 16), "{refused} of {cases} refused");
}
