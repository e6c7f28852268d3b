package thalweg.jobs;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;

/** An operator that serves each record and sends it on. */
final class Step extends RichMapFunction<Item, Item> {
    private final Work work;

    Step(Work work) {
        this.work = work;
    }

    @Override
    public void open(OpenContext context) {
        work.open(getRuntimeContext().getTaskInfo().getIndexOfThisSubtask());
    }

    @Override
    public Item map(Item item) {
        work.serve(item);
        return item;
    }
}
