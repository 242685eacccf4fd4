"""Compares Ringmaster with Hugging Face's transformers on folders that save_pretrained writes: logits, loss and gradients of random weights,
and again after one step of SGD. Where two float32 results differ, transformers' in float64 says whose rounding it is.

usage: folders.py HF-PROGRAM [CASE...]     (HF-PROGRAM: go build -o /tmp/hf ./bench/hf)
       folders.py HF-PROGRAM --loads FOLDER...   (folders that ringmaster export --format hf has written: transformers, or torchvision, loads them and gives our logits)
       folders.py --record                 (writes the small folders of testdata, with what transformers computes for them)
"""
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy
import safetensors.torch
import torch
import transformers as tr

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))


def draw(seed, *shape, below):
    """Not 0, which is padding: transformers keeps its embedding as it is."""
    return torch.randint(1, below, shape, generator=torch.Generator().manual_seed(seed))


def sizes(kind, small):
    """Keyword arguments of a configuration."""
    plain = {"gpt": {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}, "t5": {"dropout_rate": 0},
             "bert": {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}}
    tiny = {"gpt": {"vocab_size": 13, "n_positions": 9, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0},
            "llama": {"vocab_size": 13, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
                      "max_position_embeddings": 9, "rms_norm_eps": 1e-5},
            "t5": {"vocab_size": 13, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 3, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 7},
            "bert": {"vocab_size": 13, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40, "max_position_embeddings": 12}}
    return plain.get(kind, {}) | (tiny.get(kind, {}) if small else {})


def gpt(small, **more):
    c = tr.GPT2Config(**sizes("gpt", small), **more)
    n, length = (3, 9) if small else (2, 96)
    tokens, targets = draw(1, n, length, below=c.vocab_size), draw(2, n, length, below=c.vocab_size)
    return tr.GPT2LMHeadModel(c), {"kind": "gpt", "tokens": tokens, "targets": targets}, lambda m: m(input_ids=tokens).logits


def llama(small, theta=10000.0, **more):
    """The large form has some 100 million parameters; its texts are long enough for the angles to have gone round often."""
    large = {} if small else {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 4, "vocab_size": 16000}
    c = tr.LlamaConfig(**sizes("llama", small), **large, **more, rope_parameters={"rope_type": "default", "rope_theta": theta})
    n, length = (3, 9) if small else (2, 200)
    tokens, targets = draw(1, n, length, below=c.vocab_size), draw(2, n, length, below=c.vocab_size)
    return tr.LlamaForCausalLM(c), {"kind": "llama", "tokens": tokens, "targets": targets}, lambda m: m(input_ids=tokens).logits


def t5(small, **more):
    c = tr.T5Config(**sizes("t5", small), decoder_start_token_id=0, **more)
    n, source, target = (3, 12, 9) if small else (2, 160, 144)
    tokens, shifted, targets = draw(1, n, source, below=c.vocab_size), draw(2, n, target, below=c.vocab_size), draw(3, n, target, below=c.vocab_size)
    lengths = torch.tensor([source, source // 2, source - 3][:n])
    mask = (torch.arange(source)[None] < lengths[:, None]).long()
    targets[:, target - 2:] = -1
    model = tr.T5ForConditionalGeneration(c)
    if not c.scale_decoder_outputs:  # as T5 1.1: an output layer of its own
        model.lm_head.weight = torch.nn.Parameter(torch.randn(c.vocab_size, c.d_model, generator=torch.Generator().manual_seed(5)) * c.d_model ** -0.5)
        model.config.tie_word_embeddings = False
    return model, {"kind": "t5", "tokens": tokens, "shifted": shifted, "targets": targets, "lengths": lengths}, \
        lambda m: m(input_ids=tokens, attention_mask=mask, decoder_input_ids=shifted).logits


def bert(small, classes=0, padded=False):
    more = {"num_labels": classes} if classes else {}
    c = tr.BertConfig(**sizes("bert", small), **more, attn_implementation="eager")
    n, length = (3, 9) if small else (3, 80)
    tokens = draw(1, n, length, below=c.vocab_size)
    targets = draw(2, n, 1 if classes else length, below=classes or c.vocab_size) - (1 if classes else 0)
    question, mask = {"kind": "bert", "tokens": tokens, "targets": targets, "classes": classes}, None
    if padded:
        lengths = torch.tensor([length, length // 2, length - 3])
        mask = (torch.arange(length)[None] < lengths[:, None]).long()
        question["lengths"] = lengths
        if not classes:
            targets[mask == 0] = -1
    of = tr.BertForSequenceClassification if classes else tr.BertForMaskedLM
    return of(c), question, lambda m: m(input_ids=tokens, attention_mask=mask).logits


CASES = {
    "gpt2": lambda small: gpt(small),
    "gpt2-erf": lambda small: gpt(small, activation_function="gelu"),
    "llama": lambda small: llama(small),
    "llama-tied": lambda small: llama(small, 500.0, tie_word_embeddings=True, head_dim=6 if small else 64),
    "t5": lambda small: t5(small),
    "t5-untied": lambda small: t5(small, tie_word_embeddings=False),
    "bert": lambda small: bert(small),
    "bert-padded": lambda small: bert(small, padded=True),
    "bert-classes": lambda small: bert(small, classes=5),
    "bert-classes-padded": lambda small: bert(small, classes=5, padded=True),
}
RATES = {True: 0.01, False: 0.001}  # of small models and of large ones, whose gradients are larger


def make(name, small):
    """A model of random weights, also of those that begin as zeros or ones, its question, and how it is asked."""
    torch.manual_seed(7)
    model, question, forward = CASES[name](small)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.1)
            elif small and question["kind"] != "t5":
                p.mul_(4)
    model.eval()
    question = {k: v.tolist() if torch.is_tensor(v) else v for k, v in question.items()} | {"vocabulary": model.config.vocab_size, "rate": RATES[small]}
    return model, question, forward


def compute(model, question, forward):
    """Logits, losses and gradients before and after a step."""
    targets = torch.tensor(question["targets"])
    answers = []
    for _ in range(2):
        model.zero_grad()
        logits = forward(model)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1)
        loss.backward()
        answers.append((logits.detach().numpy().reshape(-1), loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}))
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None:
                    p -= question["rate"] * p.grad
    return answers


class Wide(torch.overrides.TorchFunctionMode):
    """Computes in float64 where the models say float32 themselves: norms, softmax, angles."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            return args[0].double()
        widen = lambda a: torch.float64 if a is torch.float32 else a
        return func(*map(widen, args), **{k: widen(v) for k, v in (kwargs or {}).items()})


def compare(program, name):
    model, question, forward = make(name, False)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size="100MB")
        with open(os.path.join(folder, "question"), "w") as f:
            json.dump(question, f)
        shards = len([n for n in os.listdir(folder) if n.endswith(".safetensors")])
        losses = json.loads(subprocess.run([program, folder, os.path.join(folder, "question"), folder], check=True, stdout=subprocess.PIPE).stdout)["losses"]
        with Wide():
            exact = compute(copy.deepcopy(model).double(), question, forward)
        for k, (logits, loss, gradients) in enumerate(compute(model, question, forward)):
            ours = numpy.fromfile(os.path.join(folder, f"logits{k}.f32"), dtype="<f4")
            theirs = safetensors.torch.load_file(os.path.join(folder, f"gradients{k}.safetensors"))
            worst, where, rounding, off = 0, "", 0, 0
            for n, g in gradients.items():
                d = (theirs[n] - g).abs().max().item()
                rounding = max(rounding, (theirs[n] - exact[k][2][n]).abs().max().item())
                off = max(off, (g - exact[k][2][n]).abs().max().item())
                if d > worst:
                    worst, where = d, n
            print(f"{name:20s} {'after a step' if k else 'as loaded':12s} {sum(p.numel() for p in model.parameters()):>11,d} parameters in {shards} file(s): "
                  f"logits differ by {abs(ours - logits).max():.1e} (of up to {abs(logits).max():.1f}), losses {abs(losses[k] - loss):.1e}, gradients {worst:.1e} ({where}); from float64 ours {rounding:.1e}, theirs {off:.1e}", flush=True)
            # a sum within rounding of 0 may fall on the other side of a relu, in any of the three: then one unit's gradients differ by more
            assert set(gradients) <= set(theirs) and abs(ours - logits).max() <= 1e-4 and rounding <= max(1e-4, off), name


def numbers(a):
    return [float(f"{float(v):.7g}") for v in a]


def record():
    root = os.path.join(HERE, "testdata")
    shutil.rmtree(root, ignore_errors=True)
    for name in CASES:
        model, question, forward = make(name, True)
        folder = os.path.join(root, name)
        model.save_pretrained(folder)
        answers = [{"logits": numbers(l), "loss": float(f"{loss:.9g}"), "gradients": {n: numbers(g.reshape(-1)[:4].tolist() + [g.norm()]) for n, g in gradients.items()}}
                   for l, loss, gradients in compute(model, question, forward)]
        with open(os.path.join(folder, "question.json"), "w") as f:
            json.dump(question | {"answers": answers}, f)


def loads(program, folder):
    """An exported folder loads without missing or unexpected tensors, gives the same logits, and has its digest in the model card."""
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    if config.get("library") == "torchvision":
        return pictures(program, folder, config)
    model, found = getattr(tr, config["architectures"][0]).from_pretrained(folder, output_loading_info=True)
    assert not any(found.values()), found
    model.eval()
    kind = {"gpt2": "gpt", "llama": "llama", "bert": "bert", "t5": "t5"}[config["model_type"]]
    n, size = 7, config["vocab_size"]
    tokens = draw(1, 2, n, below=size)
    question = {"kind": kind, "tokens": tokens.tolist(), "targets": draw(2, 2, n, below=size).tolist(), "vocabulary": size, "rate": 0}
    asked = {"input_ids": tokens}
    if kind == "t5":
        question |= {"shifted": tokens.tolist(), "lengths": [n, n]}
        asked["decoder_input_ids"] = tokens
    if "id2label" in config:
        question |= {"classes": len(config["id2label"]), "targets": [[0], [1]]}
    with tempfile.TemporaryDirectory() as out:
        with open(os.path.join(out, "question"), "w") as f:
            json.dump(question, f)
        subprocess.run([program, folder, os.path.join(out, "question"), out], check=True, stdout=subprocess.DEVNULL)
        ours = numpy.fromfile(os.path.join(out, "logits0.f32"), dtype="<f4")
    with torch.no_grad():
        worst = abs(model(**asked).logits.numpy().reshape(-1) - ours).max()
    assert worst <= 1e-4, worst
    said = ""
    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        tokenizer = tr.AutoTokenizer.from_pretrained(folder)
        if "id2label" in config:
            said = tr.pipeline("text-classification", model=folder)("The")
            assert said[0]["label"] in config["id2label"].values(), said
        elif kind == "t5":
            said = tokenizer.decode(model.generate(**tokenizer("The", return_tensors="pt", return_token_type_ids=False), max_new_tokens=4, do_sample=False)[0])
        elif kind in ("gpt", "llama"):
            said = tr.pipeline("text-generation", model=folder)("The ", max_new_tokens=4, do_sample=False)
        elif tokenizer.mask_token:
            said = tr.pipeline("fill-mask", model=folder)("The " + tokenizer.mask_token, top_k=1)
    print(f"{folder}: {type(model).__name__} loads, logits differ by {worst:.1e} {said}")


def pictures(program, folder, config):
    """torchvision's mobilenet_v2 takes the file strictly, and gives the same logits."""
    import torchvision
    model = torchvision.models.mobilenet_v2(num_classes=config["num_classes"])
    if config["variant"] == "cifar":
        model.features[0][0].stride = model.features[2].conv[1][0].stride = (1, 1)
    weights = safetensors.torch.load_file(os.path.join(folder, "model.safetensors"))
    model.load_state_dict(weights, strict=True)
    model.eval()
    edge = 64
    pixels = torch.randn(2, 3, edge, edge, generator=torch.Generator().manual_seed(1))
    question = {"kind": "mobilenetv2", "pixels": pixels.reshape(2, -1).tolist(), "edge": edge, "classes": config["num_classes"]}
    with tempfile.TemporaryDirectory() as out:
        with open(os.path.join(out, "question"), "w") as f:
            json.dump(question, f)
        subprocess.run([program, folder, os.path.join(out, "question"), out], check=True, stdout=subprocess.DEVNULL)
        ours = numpy.fromfile(os.path.join(out, "logits0.f32"), dtype="<f4")
    with torch.no_grad():
        theirs = model(pixels).numpy().reshape(-1)
    worst = abs(theirs - ours).max()
    assert worst <= 1e-4, worst
    print(f"{folder}: torchvision's mobilenet_v2 loads {len(weights)} tensors strictly, logits differ by {worst:.1e} of up to {abs(theirs).max():.1f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        record()
    elif sys.argv[2:3] == ["--loads"]:
        for each in sys.argv[3:]:
            loads(sys.argv[1], each)
    else:
        for case in sys.argv[2:] or CASES:
            compare(sys.argv[1], case)
