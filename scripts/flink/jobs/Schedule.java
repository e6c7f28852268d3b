package thalweg.jobs;

import java.io.Serializable;

/**
 * When which record is due, whether or not a job keeps up: "0:300,20:900" is 300 records a second at first and 900 from 20 s on.
 * A rate of 0 is a pause.
 */
final class Schedule implements Serializable {
    private final double[] from;
    private final double[] rate;
    /** Records that are due when each step begins. */
    private final double[] before;

    Schedule(String text) {
        String[] steps = text.split(",");
        from = new double[steps.length];
        rate = new double[steps.length];
        before = new double[steps.length];
        for (int i = 0; i < steps.length; i++) {
            String[] parts = steps[i].split(":");
            boolean isStep = parts.length == 2;
            if (isStep) {
                from[i] = Double.parseDouble(parts[0]);
                rate[i] = Double.parseDouble(parts[1]);
            }
            if (!isStep || rate[i] < 0 || (i == 0 ? from[0] != 0 : from[i] <= from[i - 1])) {
                throw new IllegalArgumentException("rate: expected SECONDS:RECORDS,... from 0 s on and ascending, found '" + text + "'");
            }
            if (i > 0) before[i] = before[i - 1] + (from[i] - from[i - 1]) * rate[i - 1];
        }
    }

    /** Records due so many seconds after the start. */
    double due(double seconds) {
        int i = from.length - 1;
        while (i > 0 && from[i] > seconds) i--;
        return before[i] + Math.max(0, seconds - from[i]) * rate[i];
    }

    /** Seconds after the start at which a record is due, by its number from 0; infinite if it never is. */
    double dueAt(long number) {
        int i = from.length - 1;
        while (i > 0 && (before[i] > number || rate[i] == 0 && before[i] >= number)) i--;
        return rate[i] > 0 ? from[i] + (number - before[i]) / rate[i] : Double.POSITIVE_INFINITY;
    }
}
