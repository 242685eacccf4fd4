"""Checks exported files with onnx.checker and runs them in onnxruntime, and records the digests of those that it accepts.

usage, from the root of the repository, with onnx, onnxruntime and numpy:
    mkdir -p /tmp/onnx && RINGMASTER_ONNX_CASES=/tmp/onnx go test ./internal/onnx -run TestFilesAreThoseAccepted
    python3 internal/onnx/testdata/check.py /tmp/onnx

The test leaves NAME.onnx and NAME.json: samples and what Ringmaster computes of them. A file is accepted where onnxruntime's outputs differ
by at most 1e-4 + 1e-4 of the value, for the whole batch and for its first sample alone. accepted.json has the SHA-256 of all files.
"""
import hashlib, json, os, sys

import numpy
import onnx
import onnxruntime


def differs(got, want):
    """The largest difference beside what is allowed; at most 1 is good."""
    return float((numpy.abs(got - want) / (1e-4 + 1e-4 * numpy.abs(want))).max())


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 17), path
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with open(path[:-5] + ".json") as f:
        case = json.load(f)
    worst = 0
    for level in (onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        want = numpy.array(case["output"], numpy.float32)
        for samples in (None, 1):
            feed = {}
            for i in case["inputs"]:
                values = numpy.array(i["floats"], numpy.float32) if "floats" in i else numpy.array(i["ints"], numpy.int64)
                feed[i["name"]] = values.reshape(i["shape"])[:samples]
            got = session.run(None, feed)[0]
            assert got.shape[0] == len(feed[case["inputs"][0]["name"]]) and numpy.isfinite(got).all(), path
            worst = max(worst, differs(got.ravel(), want[: got.size]))
            assert samples or got.size == want.size, (path, got.shape, want.size)
    assert worst <= 1, f"{path}: outputs differ by {worst} times what is allowed"
    return worst, sorted({n.op_type for n in model.graph.node})


def main():
    folder, accepted, operators = sys.argv[1], {}, set()
    for file in sorted(os.listdir(folder)):
        if file.endswith(".onnx"):
            path = os.path.join(folder, file)
            worst, ops = check(path)
            operators |= set(ops)
            with open(path, "rb") as f:
                accepted[file[:-5]] = hashlib.sha256(f.read()).hexdigest()
            print(f"{file}: {worst:.2g} of the allowed difference")
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, operators {' '.join(sorted(operators))}")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "accepted.json"), "w") as f:
        json.dump(accepted, f, indent=1, sort_keys=True)
        f.write("\n")


main()
