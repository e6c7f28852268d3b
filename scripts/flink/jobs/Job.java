package thalweg.jobs;

import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Jobs to be rescaled. Each operator is a vertex of its own with at most 64 instances.
 *
 * <p>shape=chain: source, parse, enrich, count (keyed, with state), score, sink. shape=diamond: source to left, and to first and second;
 * join waits for both ways; sink.
 *
 * shape=union: source, and early, which emits as much and ends after early=N records; both to parse; sink.
 *
 * <p>rate: see {@link Schedule}; records: how many in all (0: no end); keys, hot: see {@link Load}; bytes: state of each key; out: file of
 * the sink; parts: see {@link Meter}; NAME.n: instances at the start; the rest of NAME: see {@link Work}.
 */
public final class Job {
    private static final List<String> CHAIN = Arrays.asList("parse", "enrich", "count", "score", "sink");
    private static final List<String> UNION = Arrays.asList("parse", "sink");
    private static final List<String> DIAMOND = Arrays.asList("left", "first", "second", "join", "sink");
    private final Options options;
    private final List<String> names;

    private Job(Options options, List<String> names) {
        this.options = options;
        this.names = names;
    }

    public static void main(String[] arguments) throws Exception {
        Options options = new Options(arguments);
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        env.disableOperatorChaining();
        env.setMaxParallelism(64);
        env.setBufferTimeout(options.number("buffer", 5));
        String shape = options.text("shape", "chain");
        switch (shape) {
            case "chain" -> new Job(options, CHAIN).chain(env);
            case "diamond" -> new Job(options, DIAMOND).diamond(env);
            case "union" -> new Job(options, UNION).union(env);
            default -> throw new IllegalArgumentException("shape: expected chain, diamond or union, found '" + shape + "'");
        }
        env.execute(options.text("name", shape));
    }

    private void chain(StreamExecutionEnvironment env) {
        var parsed = named("parse", source(env).rebalance().map(new Step(work("parse"))));
        var enriched = named("enrich", parsed.rebalance().map(new Step(work("enrich"))));
        int bytes = (int) options.number("bytes", 0);
        var counted = named("count", enriched.keyBy(item -> item.key).process(new Count(work("count"), names.size(), bytes)));
        sink(named("score", counted.rebalance().map(new Step(work("score")))));
    }

    private void diamond(StreamExecutionEnvironment env) {
        var source = source(env);
        var left = named("left", source.rebalance().map(new Step(work("left"))));
        var first = named("first", source.rebalance().map(new Step(work("first"))));
        var second = named("second", first.rebalance().map(new Step(work("second"))));
        sink(named("join", left.union(second).keyBy(item -> item.id).process(new Join(work("join")))));
    }

    private void union(StreamExecutionEnvironment env) {
        var both = source(env).union(source(env, "early", options.number("early", 1000)));
        sink(named("parse", both.rebalance().map(new Step(work("parse")))));
    }

    private SingleOutputStreamOperator<Item> source(StreamExecutionEnvironment env) {
        return source(env, "source", options.number("records", 0));
    }

    private SingleOutputStreamOperator<Item> source(StreamExecutionEnvironment env, String name, long records) {
        Schedule schedule = new Schedule(options.text("rate", "0:300"));
        double hot = Double.parseDouble(options.text("hot", "0"));
        Load load = new Load(schedule, records, options.number("keys", 1000), hot, names.size());
        var source = env.fromSource(load, WatermarkStrategy.noWatermarks(), name);
        return source.uid(name).setParallelism(1).setMaxParallelism(1);
    }

    private void sink(SingleOutputStreamOperator<Item> last) {
        Meter meter = new Meter(work("sink"), names.toArray(new String[0]), options.text("out", ""), options.number("parts", 0));
        named("sink", last.rebalance().process(meter));
    }

    private Work work(String name) {
        return new Work(name, names.indexOf(name), options);
    }

    private <T> SingleOutputStreamOperator<T> named(String name, SingleOutputStreamOperator<T> operator) {
        return operator.name(name).uid(name).setParallelism((int) options.number(name + ".n", 1));
    }
}
