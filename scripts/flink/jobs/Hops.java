package thalweg.jobs;

import java.util.Arrays;
import java.util.Locale;

/** What records went through at each subtask of each operator: how many, and their mean times in its queue and in its service. */
final class Hops {
    /** The most subtasks of an operator of which each is told apart. */
    private static final int MOST = 64;
    private final String[] names;
    private final long[][] served;
    private final long[][] waited;
    private final long[][] times;

    Hops(String[] names) {
        this.names = names;
        served = new long[names.length][MOST];
        waited = new long[names.length][MOST];
        times = new long[names.length][MOST];
    }

    void add(Item item) {
        for (int place = 0; place < names.length; place++) {
            int subtask = item.by[place] - 1;
            if (subtask < 0 || subtask >= MOST) continue;
            times[place][subtask]++;
            waited[place][subtask] += item.waited[place];
            served[place][subtask] += item.served[place];
        }
    }

    /** {"NAME[SUBTASK]": [records, mean ms in its queue, mean ms of service]}, and begins anew. */
    String take() {
        StringBuilder hops = new StringBuilder("{");
        for (int place = 0; place < names.length; place++) {
            for (int subtask = 0; subtask < MOST; subtask++) {
                long n = times[place][subtask];
                if (n == 0) continue;
                hops.append(hops.length() > 1 ? "," : "").append(String.format(Locale.ROOT, "\"%s[%d]\":[%d,%.3f,%.3f]",
                    names[place], subtask, n, waited[place][subtask] / 1e3 / n, served[place][subtask] / 1e3 / n));
            }
            Arrays.fill(times[place], 0);
            Arrays.fill(waited[place], 0);
            Arrays.fill(served[place], 0);
        }
        return hops.append("}").toString();
    }
}
