package thalweg.jobs;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Waits for a record from both of its inputs, and sends on the one that came last. Keyed by the record's number. */
final class Join extends KeyedProcessFunction<Long, Item, Item> {
    private final Work work;
    private transient ValueState<Boolean> isHalf;

    Join(Work work) {
        this.work = work;
    }

    @Override
    public void open(OpenContext context) {
        work.open(getRuntimeContext().getTaskInfo().getIndexOfThisSubtask());
        isHalf = getRuntimeContext().getState(new ValueStateDescriptor<>("half", Boolean.class));
    }

    @Override
    public void processElement(Item item, Context context, Collector<Item> out) throws Exception {
        work.serve(item);
        if (isHalf.value() == null) {
            isHalf.update(true);
        } else {
            isHalf.clear();
            out.collect(item);
        }
    }
}
