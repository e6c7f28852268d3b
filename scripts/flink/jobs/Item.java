package thalweg.jobs;

/** A record. Each operator notes in it how long it waited there and how long it was served, so that the sink knows the truth of both. */
public class Item {
    /** Its number at the source, from 0. */
    public long id;
    public long key;
    /** Of a total at the end of a job: how often its key was counted. 0 for a record. */
    public long total;
    /** When it was due and when it was last sent on, in microseconds since 1970. */
    public long due;
    public long sent;
    /** How long after it was due it was emitted, in microseconds. */
    public long lag;
    /** By place of the operator: microseconds in its queue and in its service, and the subtask plus 1 (0: did not pass there). */
    public int[] waited;
    public int[] served;
    public int[] by;

    public Item() {}

    Item(long id, long key, int places) {
        this.id = id;
        this.key = key;
        waited = new int[places];
        served = new int[places];
        by = new int[places];
    }

    /** Microseconds since 1970. */
    static long now() {
        java.time.Instant now = java.time.Instant.now();
        return Math.addExact(Math.multiplyExact(now.getEpochSecond(), 1_000_000L), now.getNano() / 1000);
    }
}
