"""A scaling policy in Python: one observation a line in, one decision a line out (see docs/external-policy.md).

thalweg run --policy external --external-command 'python3 examples/external_policy.py' --external-needs paths
"""
import json
import math
import sys

HEADROOM = 1.1  # capacity to ask for beyond what is needed


def describe(piece):
    """A piece of the critical path in words, such as 'queueing at count behind flatmap'."""
    text = piece["kind"]
    if piece["operator"]:
        text += f" at {piece['operator']}"
    if piece["behind"] and piece["behind"] != piece["operator"]:
        text += f" behind {piece['behind']}"
    return text


def read_path(paths):
    """What most of the latency of the slowest epochs went into, and numbers for the decision log."""
    slowest = paths["slowest"]
    if not slowest["pieces"]:
        return f"no epoch complete, {paths['open_epochs']} open", {"oldest_open_s": paths["oldest_open_ns"] / 1e9}
    largest = slowest["pieces"][0]  # the largest comes first
    values = {"latency_ms": slowest["latency_ns"] / 1e6, "share": largest["share"]}
    for operator, slack in slowest["slack"].items():
        values[f"slack_ms_{operator}"] = slack["mean_ns"] / 1e6
    return describe(largest), values


def decide(seen):
    """Every operator at once: follow the offered rates through the job, divide by what one instance can do."""
    output = {source["name"]: source["offered_per_s"] for source in seen["sources"]}
    rescale = {}
    for operator in seen["operators"]:  # producers come before consumers
        if operator["role"] == "source":
            continue
        need = sum(output.get(name, 0.0) for name in operator["inputs"])
        output[operator["name"]] = need * (operator["selectivity"] or 0.0)
        rates = [i["true_processing_per_s"] for i in operator["instances"] if i["true_processing_per_s"]]
        if operator["scalable"] and rates:
            one = sum(rates) / len(rates)
            wanted = max(1, min(operator["max_parallelism"], math.ceil(need * HEADROOM / one)))
            if wanted > operator["parallelism"] or wanted < operator["parallelism"] - 1:
                rescale[operator["name"]] = wanted
    reason, values = "rates" if rescale else "enough", {}
    if "paths" in seen:  # only with --external-needs paths
        path, values = read_path(seen["paths"])
        reason += f"; slowest epochs: {path}"
    return {"rescale": rescale, "reason": reason, "values": values}


for line in sys.stdin:
    print(json.dumps(decide(json.loads(line))), flush=True)
