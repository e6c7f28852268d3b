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
 * times in ms. At the end of a bounded job {"keys", "counted", "written"}: how many keys there were, the sum of their totals, records seen.
 */
final class Meter extends ProcessFunction<Item, Void> {
    /** The most subtasks of an operator of which each is told apart. */
    private static final int MOST = 64;
    private final Work work;
    private final String[] names;
    private final String out;
    private transient long[] latencies;
    private transient int records;
    private transient long second, first, last, lag, keys, counted, written;
    private transient long[][] served, waited, times;

    Meter(Work work, String[] names, String out) {
        this.work = work;
        this.names = names;
        this.out = out;
    }

    @Override
    public void open(OpenContext context) {
        work.open(getRuntimeContext().getTaskInfo().getIndexOfThisSubtask());
        latencies = new long[4096];
        served = new long[names.length][MOST];
        waited = new long[names.length][MOST];
        times = new long[names.length][MOST];
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
        for (int place = 0; place < names.length; place++) {
            int subtask = item.by[place] - 1;
            if (subtask < 0 || subtask >= MOST) continue;
            times[place][subtask]++;
            waited[place][subtask] += item.waited[place];
            served[place][subtask] += item.served[place];
        }
    }

    private void tell() throws Exception {
        if (records == 0) return;
        Arrays.sort(latencies, 0, records);
        StringBuilder hops = new StringBuilder();
        for (int place = 0; place < names.length; place++) {
            for (int subtask = 0; subtask < MOST; subtask++) {
                long n = times[place][subtask];
                if (n == 0) continue;
                hops.append(hops.length() > 0 ? "," : "").append(String.format(Locale.ROOT, "\"%s[%d]\":[%d,%.3f,%.3f]",
                    names[place], subtask, n, waited[place][subtask] / 1e3 / n, served[place][subtask] / 1e3 / n));
            }
            Arrays.fill(times[place], 0);
            Arrays.fill(waited[place], 0);
            Arrays.fill(served[place], 0);
        }
        write(String.format(Locale.ROOT, "{\"s\":%d,\"n\":%d,\"first\":%.3f,\"last\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"lag\":%.3f,\"hops\":{%s}}",
            second, records, first / 1e3, last / 1e3, latencies[records / 2] / 1e3, latencies[(int) (0.99 * records)] / 1e3,
            latencies[records - 1] / 1e3, lag / 1e3 / records, hops));
        records = 0;
        lag = 0;
    }

    @Override
    public void close() throws Exception {
        if (latencies == null) return;
        tell();
        if (keys > 0) write(String.format(Locale.ROOT, "{\"keys\":%d,\"counted\":%d,\"written\":%d}", keys, counted, written));
    }

    private void write(String line) throws Exception {
        if (!out.isEmpty()) Files.writeString(Path.of(out), line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }
}
