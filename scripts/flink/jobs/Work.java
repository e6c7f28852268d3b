package thalweg.jobs;

import java.io.Serializable;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * What an operator does with a record, so that it has a capacity: NAME.us microseconds for each.
 *
 * <p>NAME.how: "wait" sleeps; "spin" burns the processor; "shared" sleeps for a turn at one server that all instances in the process have
 * in common, as they would a database: more of them do not help. NAME.slow=SUBTASK:FACTOR makes one subtask slower.
 */
final class Work implements Serializable {
    private static final Map<String, AtomicLong> SERVERS = new ConcurrentHashMap<>();
    private final String name;
    private final int place;
    private final String how;
    private final long nanos;
    private final int slowSubtask;
    private final double slowFactor;
    private transient int subtask;
    private transient long own;
    /** What was slept too long, which the next record gets back: the mean is as asked. */
    private transient long owed;

    Work(String name, int place, Options options) {
        this.name = name;
        this.place = place;
        how = options.text(name + ".how", "wait");
        if (!how.equals("wait") && !how.equals("spin") && !how.equals("shared")) {
            throw new IllegalArgumentException(name + ".how: expected wait, spin or shared, found '" + how + "'");
        }
        nanos = 1000 * options.number(name + ".us", 0);
        String[] slow = options.text(name + ".slow", "-1:1").split(":");
        slowSubtask = Integer.parseInt(slow[0]);
        slowFactor = Double.parseDouble(slow[1]);
    }

    void open(int subtask) {
        this.subtask = subtask;
        own = subtask == slowSubtask ? (long) (nanos * slowFactor) : nanos;
    }

    /** Serves a record, and notes in it how long that and waiting for it took. Totals pass. */
    void serve(Item item) {
        if (item.total > 0) return;
        long began = Item.now();
        if (own > 0) take();
        long ended = Item.now();
        item.waited[place] = (int) Math.min(Integer.MAX_VALUE, began - item.sent);
        item.served[place] = (int) (ended - began);
        item.by[place] = subtask + 1;
        item.sent = ended;
    }

    private void take() {
        long now = System.nanoTime();
        if (how.equals("spin")) {
            while (System.nanoTime() - now < own) Thread.onSpinWait();
            return;
        }
        long until;
        if (how.equals("shared")) {
            until = SERVERS.computeIfAbsent(name, any -> new AtomicLong(now)).updateAndGet(free -> Math.max(free, now) + own);
        } else {
            until = now + own - owed;
        }
        for (long left = until - System.nanoTime(); left > 0; left = until - System.nanoTime()) LockSupport.parkNanos(left);
        owed = Math.min(own, System.nanoTime() - until);
    }
}
