//! Traces of long jobs in every format, as long as they are asked to be.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use thalweg::activity::LogWriter;
use thalweg::sim::ExchangeLog;

const SECOND: u64 = 1_000_000_000;

/// A file that knows how long it is.
struct Out {
    file: BufWriter<File>,
    length: usize,
}

impl Out {
    fn put(&mut self, text: impl AsRef<[u8]>) {
        self.length += text.as_ref().len();
        self.file.write_all(text.as_ref()).unwrap();
    }
}

/// Writes a trace of at least so many bytes to a file.
pub type Writer = fn(&Path, usize);

/// The formats, each with what writes it.
pub const FORMATS: [(&str, Writer); 7] = [
    ("own", own),
    ("spark", |file, bytes| spark(&mut begin(file), bytes)),
    ("chrome", |file, bytes| chrome(&mut begin(file), bytes)),
    ("jaeger", |file, bytes| jaeger(&mut begin(file), bytes)),
    ("otlp", |file, bytes| otlp(&mut begin(file), bytes)),
    ("snailtrail", |file, bytes| snailtrail(&mut begin(file), bytes)),
    ("timely", |file, bytes| timely(&mut begin(file), bytes)),
];

fn begin(file: &Path) -> Out {
    Out { file: BufWriter::new(File::create(file).unwrap()), length: 0 }
}

/// Numbers from 0 to `most` that follow no order.
fn scattered(number: u64, most: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % most
}

/// Workers that exchange data; a record takes some 12 bytes.
fn own(file: &Path, bytes: usize) {
    let mut log = LogWriter::new(BufWriter::new(File::create(file).unwrap())).unwrap();
    let mut block = Vec::new();
    for record in ExchangeLog::of_all(4, 100, 1 << 20).records().take(bytes / 12) {
        block.push(record);
        if block.len() == 4096 {
            log.append(&block).unwrap();
            block.clear();
        }
    }
    log.append(&block).unwrap();
    log.finish().unwrap();
}

/// An application of many jobs, whose executors come and go.
fn spark(out: &mut Out, bytes: usize) {
    let (mut now, mut task, mut stage, mut job, mut executors) = (1_700_000_000_000, 0, 0, 0, 0u64);
    let add = |out: &mut Out, number: u64, now: u64| {
        out.put(format!(
            "{{\"Event\":\"SparkListenerExecutorAdded\",\"Timestamp\":{now},\"Executor ID\":\"{number}\",\"Executor Info\":{{\"Host\":\"h\",\
             \"Total Cores\":2}}}}\n"
        ));
    };
    for _ in 0..3 {
        add(out, executors, now);
        executors += 1;
    }
    while out.length < bytes {
        out.put(format!(
            "{{\"Event\":\"SparkListenerJobStart\",\"Job ID\":{job},\"Submission Time\":{now},\"Stage IDs\":[{stage}],\"Stage Infos\":[\
             {{\"Stage ID\":{stage},\"Stage Name\":\"count at Query.scala:{}\"}}]}}\n",
            stage % 90
        ));
        let mut last = now;
        for core in 0..6 {
            let (launch, finish) = (now + 2, now + 100 + scattered(task, 200));
            let info = format!(
                "\"Task Info\":{{\"Task ID\":{task},\"Launch Time\":{launch},\"Executor ID\":\"{}\",\"Host\":\"h\",\"Finish Time\"",
                executors - 3 + core / 2
            );
            out.put(format!("{{\"Event\":\"SparkListenerTaskStart\",\"Stage ID\":{stage},{info}:0}}}}\n"));
            out.put(format!(
                "{{\"Event\":\"SparkListenerTaskEnd\",\"Stage ID\":{stage},\"Task Type\":\"ResultTask\",\"Task End Reason\":{{\"Reason\":\
                 \"Success\"}},{info}:{finish}}},\"Task Metrics\":{{\"Executor Deserialize Time\":2,\"Executor Run Time\":{},\"Result \
                 Serialization Time\":1}}}}\n",
                finish - launch - 10
            ));
            (task, last) = (task + 1, last.max(finish));
        }
        now = last + 5;
        out.put(format!("{{\"Event\":\"SparkListenerJobEnd\",\"Job ID\":{job},\"Completion Time\":{now}}}\n"));
        (job, stage, now) = (job + 1, stage + 1, now + scattered(job, 400));
        if job % 10 == 0 {
            out.put(format!("{{\"Event\":\"SparkListenerExecutorRemoved\",\"Timestamp\":{now},\"Executor ID\":\"{}\"}}\n", executors - 3));
            add(out, executors, now);
            executors += 1;
        }
    }
    out.put("{\"Event\":\"SparkListenerApplicationEnd\"}\n");
}

/// Threads that pass items on. Events are a little out of order, and slices of both forms.
fn chrome(out: &mut Out, bytes: usize) {
    out.put("{\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"thread_name\",\"args\":{\"name\":\"first\"}}");
    let mut item = 0;
    while out.length < bytes {
        let at = |thread: u64| 1_000_000_000 + item * 100 + thread * 90 + scattered(item * 4 + thread, 20);
        for thread in (0..4u64).rev() {
            let (start, end) = (at(thread), at(thread) + 60);
            let place = format!("\"pid\":1,\"tid\":{thread},\"ts\"");
            if thread == 2 {
                out.put(format!(",\n{{\"ph\":\"B\",\"name\":\"step {thread}\",{place}:{start}}},\n{{\"ph\":\"E\",{place}:{end}}}"));
            } else {
                out.put(format!(",\n{{\"ph\":\"X\",\"name\":\"step {thread}\",\"cat\":\"op\",{place}:{start}.5,\"dur\":60}}"));
            }
            if thread > 0 {
                out.put(format!(",\n{{\"ph\":\"f\",\"bp\":\"e\",\"id\":{},\"name\":\"item\",{place}:{start}.5}}", item * 4 + thread));
            }
            if thread < 3 {
                out.put(format!(",\n{{\"ph\":\"s\",\"id\":{},\"name\":\"item\",{place}:{end}}}", item * 4 + thread + 1));
            }
        }
        item += 1;
    }
    out.put("\n]}\n");
}

/// Requests that overlap, each with calls of two services; traces are a little out of order.
fn jaeger(out: &mut Out, bytes: usize) {
    out.put("{\"data\":[\n");
    let mut trace = 0;
    while out.length < bytes {
        let start = 1_700_000_000_000_000 + trace * 400 + scattered(trace, 3000);
        let span = |id: u64, start: u64, length: u64| {
            let of = if id == 0 { String::new() } else { "{\"refType\":\"CHILD_OF\",\"spanID\":\"0\"}".to_owned() };
            format!(
                "{{\"spanID\":\"{id}\",\"operationName\":\"call {id}\",\"references\":[{of}],\"startTime\":{start},\"duration\":{length},\
                 \"processID\":\"p{}\"}}",
                id % 3
            )
        };
        let spans: Vec<String> = (0..4).map(|id| span(id, start + id * 300, if id == 0 { 1500 } else { 250 })).collect();
        let comma = if trace == 0 { "" } else { ",\n" };
        let processes = "\"p0\":{\"serviceName\":\"web\"},\"p1\":{\"serviceName\":\"db\"},\"p2\":{\"serviceName\":\"cache\"}";
        out.put(format!("{comma}{{\"traceID\":\"{trace}\",\"spans\":[{}],\"processes\":{{{processes}}}}}", spans.join(",")));
        trace += 1;
    }
    out.put("\n]}\n");
}

/// The same in the order in which spans end, a service a line; spans of a trace are on several lines.
fn otlp(out: &mut Out, bytes: usize) {
    let mut batch = 0;
    let mut ended: Vec<(u64, u64, String)> = Vec::new();
    while out.length < bytes {
        for trace in batch * 10 + 1..batch * 10 + 11 {
            let start = 1_700_000_000 * SECOND + trace * 400_000 + scattered(trace, 3_000_000);
            for id in 0..4 {
                let (start, length) = (start + id * 300_000, if id == 0 { 1_500_000 } else { 250_000 });
                let (own, parent) = (trace * 8 + id, if id == 0 { String::new() } else { format!("{:016x}", trace * 8) });
                let end = start + length;
                let span = format!(
                    "{{\"traceId\":\"{trace:032x}\",\"spanId\":\"{own:016x}\",\"parentSpanId\":\"{parent}\",\"name\":\"call {id}\",\
                     \"startTimeUnixNano\":\"{start}\",\"endTimeUnixNano\":\"{end}\"}}"
                );
                ended.push((end, id % 3, span));
            }
        }
        ended.sort();
        let rest = ended.split_off(ended.len() / 2);
        for service in 0..3 {
            let spans: Vec<&str> = ended.iter().filter(|(_, of, _)| *of == service).map(|(.., span)| span.as_str()).collect();
            let resource = format!("{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"s{service}\"}}}}]}}");
            out.put(format!("{{\"resourceSpans\":[{{\"resource\":{resource},\"scopeSpans\":[{{\"spans\":[{}]}}]}}]}}\n", spans.join(",")));
        }
        (ended, batch) = (rest, batch + 1);
    }
}

/// Workers in a ring, each of which works and sends to the next.
fn snailtrail(out: &mut Out, bytes: usize) {
    let integer = |number: i64| -> Vec<u8> {
        match number {
            -1 => vec![0xff],
            0..=127 => vec![number as u8],
            _ => [&[0xcf], &(number as u64).to_be_bytes()[..]].concat(),
        }
    };
    let (mut now, mut message) = (1_700_000_000 * SECOND as i64, 0);
    while out.length < bytes {
        let mut records: Vec<[i64; 7]> = Vec::new();
        for worker in 0..4 {
            let (next, operator) = ((worker + 1) % 4, 7 + worker);
            records.push([now + worker, worker, 3, 1, -1, -1, operator]);
            records.push([now + 60_000 + worker, worker, 3, 2, -1, -1, operator]);
            records.push([now + 61_000 + worker, worker, 4, 3, message, next, operator]);
            records.push([now + 90_000 + worker, next, 4, 4, message, worker, operator]);
            message += 1;
        }
        records.sort_unstable();
        records.iter().flatten().for_each(|&number| out.put(integer(number)));
        now += 100_000;
    }
}

/// Workers that are activated in turn and complete an epoch every two milliseconds.
fn timely(out: &mut Out, bytes: usize) {
    for worker in 0..4 {
        for operator in 1..6 {
            out.put(format!("(0ns, {worker}, Operates(OperatesEvent {{ id: {operator}, addr: [0, {operator}], name: \"op\" }}))\n"));
        }
    }
    let mut epoch = 0u64;
    while out.length < bytes {
        let at = |micros: u64| format!("{}.{:06}s", (epoch * 2000 + micros) / 1_000_000, (epoch * 2000 + micros) % 1_000_000);
        for worker in 0..4 {
            out.put(format!("({}, {worker}, Text(\"begin computation at epoch: {epoch}\"))\n", at(0)));
        }
        for operator in 1..6u64 {
            for (kind, micros) in [("Start", 0), ("Stop", 200)] {
                for worker in 0..4 {
                    let when = at(operator * 300 + micros + worker);
                    out.put(format!("({when}, {worker}, Schedule(ScheduleEvent {{ id: {operator}, start_stop: {kind} }}))\n"));
                }
            }
        }
        for worker in 0..4 {
            out.put(format!("({}, {worker}, Text(\"closed times before: {}\"))\n", at(1900), epoch + 1));
        }
        epoch += 1;
    }
}
