package thalweg.jobs;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Counts the records of each key in Flink's state. At the end of a bounded job it sends the total of each key, which is the number of its
 * records if and only if each was counted once, whatever was replayed meanwhile.
 */
final class Count extends KeyedProcessFunction<Long, Item, Item> {
    private final Work work;
    private final int places;
    private final int bytes;
    private transient ValueState<Long> count;
    private transient ValueState<byte[]> ballast;

    Count(Work work, int places, int bytes) {
        this.work = work;
        this.places = places;
        this.bytes = bytes;
    }

    @Override
    public void open(OpenContext context) {
        work.open(getRuntimeContext().getTaskInfo().getIndexOfThisSubtask());
        count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Long.class));
        ballast = getRuntimeContext().getState(new ValueStateDescriptor<>("ballast", byte[].class));
    }

    @Override
    public void processElement(Item item, Context context, Collector<Item> out) throws Exception {
        work.serve(item);
        Long before = count.value();
        if (before == null) {
            // Event time ends with the input.
            context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
            if (bytes > 0) ballast.update(new byte[bytes]);
        }
        count.update(before == null ? 1 : before + 1);
        out.collect(item);
    }

    @Override
    public void onTimer(long time, OnTimerContext context, Collector<Item> out) throws Exception {
        Item total = new Item(-1, context.getCurrentKey(), places);
        total.total = count.value();
        out.collect(total);
    }
}
