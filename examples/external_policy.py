"""A scaling policy in Python: one observation a line in, one decision a line out (see docs/external-policy.md).

thalweg run --policy external --external-command 'python3 examples/external_policy.py'
"""
import json
import math
import sys

HEADROOM = 1.1  # capacity to ask for beyond what is needed


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
    return {"rescale": rescale, "reason": "rates" if rescale else "enough"}


for line in sys.stdin:
    print(json.dumps(decide(json.loads(line))), flush=True)
