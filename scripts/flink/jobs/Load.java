package thalweg.jobs;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/**
 * A source of one subtask that emits records when its schedule says that they are due, and reports those that are due and not emitted as
 * pendingRecords. Their keys follow each other from 0 on; of each hundred records, hot * 100 have key 0. When it began and how far it is are in its checkpoints: a job restarted from a savepoint goes on with the schedule.
 */
final class Load implements Source<Item, Load.Place, Load.Place> {
    /** How far it is; also what there is to give out: nothing once next is negative. */
    static final class Place implements SourceSplit {
        static final Place NONE = new Place(-1, 0);
        final long next;
        final long began;

        Place(long next, long began) {
            this.next = next;
            this.began = began;
        }

        @Override
        public String splitId() {
            return "load";
        }
    }

    private final Schedule schedule;
    private final long records;
    private final long keys;
    private final long hot;
    private final int places;

    Load(Schedule schedule, long records, long keys, double hot, int places) {
        if (hot < 0 || hot > 1) throw new IllegalArgumentException("hot: expected a share from 0 to 1, found '" + hot + "'");
        this.hot = Math.round(100 * hot);
        this.schedule = schedule;
        this.records = records;
        this.keys = keys;
        this.places = places;
    }

    @Override
    public Boundedness getBoundedness() {
        return records > 0 ? Boundedness.BOUNDED : Boundedness.CONTINUOUS_UNBOUNDED;
    }

    @Override
    public SourceReader<Item, Place> createReader(SourceReaderContext context) {
        return new Reader(context);
    }

    @Override
    public SplitEnumerator<Place, Place> createEnumerator(SplitEnumeratorContext<Place> context) {
        return new Giver(context, new Place(0, Item.now()));
    }

    @Override
    public SplitEnumerator<Place, Place> restoreEnumerator(SplitEnumeratorContext<Place> context, Place left) {
        return new Giver(context, left);
    }

    @Override
    public SimpleVersionedSerializer<Place> getSplitSerializer() {
        return new Bytes();
    }

    @Override
    public SimpleVersionedSerializer<Place> getEnumeratorCheckpointSerializer() {
        return new Bytes();
    }

    private final class Reader implements SourceReader<Item, Place> {
        private volatile long next = -1;
        private volatile long began;
        private boolean isLast;

        Reader(SourceReaderContext context) {
            context.metricGroup().setPendingRecordsGauge(() -> next < 0 ? 0L : Math.max(0, due() - next));
        }

        private long due() {
            long due = (long) schedule.due((Item.now() - began) / 1e6);
            return records > 0 ? Math.min(due, records) : due;
        }

        private long dueAt() {
            return began + (long) Math.min(1e6 * schedule.dueAt(next), 1e15);
        }

        /** Spread evenly over each hundred. */
        private boolean isHot() {
            return (next + 1) * hot / 100 > next * hot / 100;
        }

        @Override
        public InputStatus pollNext(ReaderOutput<Item> output) {
            if (next < 0) return isLast ? InputStatus.END_OF_INPUT : InputStatus.NOTHING_AVAILABLE;
            if (records > 0 && next >= records) return InputStatus.END_OF_INPUT;
            long due = dueAt();
            long now = Item.now();
            if (due > now) return InputStatus.NOTHING_AVAILABLE;
            Item item = new Item(next, isHot() ? 0 : next % keys, places);
            item.due = due;
            item.lag = now - due;
            item.sent = now;
            next++;
            output.collect(item);
            return InputStatus.MORE_AVAILABLE;
        }

        @Override
        public CompletableFuture<Void> isAvailable() {
            long left = next < 0 ? 10_000 : Math.max(500, Math.min(dueAt() - Item.now(), 100_000));
            return CompletableFuture.runAsync(() -> {}, CompletableFuture.delayedExecutor(left, TimeUnit.MICROSECONDS));
        }

        @Override
        public void addSplits(List<Place> splits) {
            began = splits.get(0).began;
            next = splits.get(0).next;
        }

        @Override
        public List<Place> snapshotState(long checkpoint) {
            return next < 0 ? List.of() : List.of(new Place(next, began));
        }

        @Override
        public void notifyNoMoreSplits() {
            isLast = true;
        }

        @Override
        public void start() {}

        @Override
        public void close() {}
    }

    /** Gives the one split to the first reader, and again if that was lost before a checkpoint. */
    private static final class Giver implements SplitEnumerator<Place, Place> {
        private final SplitEnumeratorContext<Place> context;
        private Place left;

        Giver(SplitEnumeratorContext<Place> context, Place left) {
            this.context = context;
            this.left = left;
        }

        @Override
        public void addReader(int subtask) {
            if (left.next >= 0) {
                context.assignSplit(left, subtask);
                left = Place.NONE;
            }
            context.signalNoMoreSplits(subtask);
        }

        @Override
        public void addSplitsBack(List<Place> splits, int subtask) {
            if (!splits.isEmpty()) left = splits.get(0);
        }

        @Override
        public Place snapshotState(long checkpoint) {
            return left;
        }

        @Override
        public void handleSplitRequest(int subtask, String host) {}

        @Override
        public void start() {}

        @Override
        public void close() {}
    }

    private static final class Bytes implements SimpleVersionedSerializer<Place> {
        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(Place place) {
            return ByteBuffer.allocate(16).putLong(place.next).putLong(place.began).array();
        }

        @Override
        public Place deserialize(int version, byte[] bytes) throws IOException {
            if (version != 1 || bytes.length != 16) throw new IOException("expected 16 bytes of version 1, found " + bytes.length + " of " + version);
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            return new Place(buffer.getLong(), buffer.getLong());
        }
    }
}
