"""Prints the scalars that TensorBoard's own reader finds in a folder of event files, as JSON: for each tag its steps and values, a value as the
hexadecimal bits of its float32. Needs pip's tensorboard.

    python3 bench/read_events.py internal/records/testdata > internal/records/testdata/tensorboard.json
    bin/ringmaster records RUN --format tensorboard --out events && python3 bench/read_events.py events
"""

import json
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

reader = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
reader.Reload()
print("{")
tags = sorted(reader.Tags()["scalars"])
for i, tag in enumerate(tags):
    values = [{"Step": e.step, "Value": struct.pack(">f", e.value).hex()} for e in reader.Scalars(tag)]
    print(f" {json.dumps(tag)}: {json.dumps(values)}{',' if i + 1 < len(tags) else ''}")
print("}")
