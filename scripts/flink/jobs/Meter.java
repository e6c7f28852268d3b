package thalweg.jobs;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Locale;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;

/**
 * The sink: a line of JSON for each second and subtask with what its records went through.
 *
 * <p>{"s": second since 1970, "n": records, "first", "last": when the first and the last of them came, in ms since 1970, "p50", "p99", "max": latency from
 * the due time, "lag": mean delay at the source, "hops": {"NAME[SUBTASK]": [records, mean ms in its queue, mean ms of service]}}, all
 * times in ms. If asked for parts of so many milliseconds, also {"part": when it began, in ms since 1970, "hops"} for each: a queue may
 * change by half of itself in a second. At the end of a bounded job {"keys", "counted", "written"}: how many keys there were, the sum of their totals, records seen.
 */
final class Meter extends ProcessFunction<Item, Void> {
    private final Work work;
    private final String[] names;
    private final String out;
    /** Length of a part in microseconds; 0 for none. */
    private final long length;
    private transient long[] latencies;
    private transient int records;
    private transient long second, part, first, last, lag, keys, counted, written;
    private transient Hops ofSecond, ofPart;

    Meter(Work work, String[] names, String out, long millis) {
        this.work = work;
        this.names = names;
        this.out = out;
        length = 1000 * millis;
    }

    @Override
    public void open(OpenContext context) {
        work.open(getRuntimeContext().getTaskInfo().getIndexOfThisSubtask());
        latencies = new long[4096];
        ofSecond = new Hops(names);
        ofPart = new Hops(names);
    }

    @Override
    public void processElement(Item item, Context context, Collector<Void> none) throws Exception {
        work.serve(item);
        if (item.total > 0) {
            keys++;
            counted += item.total;
            return;
        }
        written++;
        long now = item.sent;
        if (now / 1_000_000 != second) {
            tell();
            second = now / 1_000_000;
            first = now;
        }
        last = now;
        if (records == latencies.length) latencies = Arrays.copyOf(latencies, 2 * records);
        latencies[records++] = now - item.due;
        lag += item.lag;
        ofSecond.add(item);
        if (length > 0 && now / length != part) {
            tellPart();
            part = now / length;
        }
        if (length > 0) ofPart.add(item);
    }

    private void tellPart() throws Exception {
        String hops = ofPart.take();
        if (hops.length() > 2) write(String.format(Locale.ROOT, "{\"part\":%d,\"hops\":%s}", part * length / 1000, hops));
    }

    private void tell() throws Exception {
        if (records == 0) return;
        Arrays.sort(latencies, 0, records);
        write(String.format(Locale.ROOT, "{\"s\":%d,\"n\":%d,\"first\":%.3f,\"last\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"lag\":%.3f,\"hops\":%s}",
            second, records, first / 1e3, last / 1e3, latencies[records / 2] / 1e3, latencies[(int) (0.99 * records)] / 1e3,
            latencies[records - 1] / 1e3, lag / 1e3 / records, ofSecond.take()));
        records = 0;
        lag = 0;
    }

    @Override
    public void close() throws Exception {
        if (latencies == null) return;
        tell();
        if (length > 0) tellPart();
        if (keys > 0) write(String.format(Locale.ROOT, "{\"keys\":%d,\"counted\":%d,\"written\":%d}", keys, counted, written));
    }

    private void write(String line) throws Exception {
        if (!out.isEmpty()) Files.writeString(Path.of(out), line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }
}
